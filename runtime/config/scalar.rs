//! What a plain YAML scalar is: null, boolean, number or text.
//!
//! Upstream reads module files with SnakeYAML's YAML 1.1 resolver and Jackson's decoding on top, and the difference is
//! visible: `version: 3.0` is a float and refused, `yes` is a boolean, `010` is eight, `12:30` is text. We follow them, so
//! that a file means the same. (Jackson's `YAMLParser._decodeScalar`, SnakeYAML's `Resolver`.)

/// A scalar as the readers of fields see it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Scalar {
    Null,
    Bool(bool),
    Int(Int),
    Float(f64),
    Text(String),
}

/// A whole number; as text it has no sign `+`, no underscores and radix ten.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Int {
    text: String,
}

impl Int {
    pub(crate) fn to_i64(&self) -> Option<i64> {
        self.text.parse().ok()
    }
}

impl Scalar {
    /// Resolves a scalar that was written without quotes and without a tag.
    pub(crate) fn plain(raw: &str) -> Scalar {
        if is_null(raw) {
            return Scalar::Null;
        }
        if let Some(truth) = boolean(raw) {
            return Scalar::Bool(truth);
        }
        if let Some(int) = integer(raw) {
            return Scalar::Int(int);
        }
        match float(raw) {
            Some(float) => Scalar::Float(float),
            None => Scalar::Text(raw.to_owned()),
        }
    }

    /// Resolves a scalar with a tag of YAML's own, such as `!!str`; other tags make text.
    pub(crate) fn tagged(raw: &str, tag: &str) -> Scalar {
        let text = || Scalar::Text(raw.to_owned());
        match tag {
            "null" => Scalar::Null,
            "bool" => boolean(raw).map_or_else(text, Scalar::Bool),
            "int" => integer(raw).map_or_else(text, Scalar::Int),
            "float" => raw.replace('_', "").parse().map_or_else(|_| text(), Scalar::Float),
            _ => text(),
        }
    }

    /// The scalar as text, as Jackson's `asText` renders it.
    pub(crate) fn to_text(&self) -> String {
        match self {
            Scalar::Null => "null".to_owned(),
            Scalar::Bool(truth) => truth.to_string(),
            Scalar::Int(int) => int.text.clone(),
            Scalar::Float(float) => java_double(*float),
            Scalar::Text(text) => text.clone(),
        }
    }

    /// The scalar as a 64-bit number, as Jackson's `asLong` converts it, and whether that is what was written. Text that
    /// is no number is 0, a fraction is cut off.
    pub(crate) fn to_long(&self) -> (i64, bool) {
        // Saturating, as every float to integer cast is.
        let cut = |float: f64| (float.trunc() as i64, float.fract() == 0.0);
        match self {
            Scalar::Null => (0, false),
            Scalar::Bool(truth) => (i64::from(*truth), false),
            Scalar::Int(int) => int.to_i64().map_or((0, false), |number| (number, true)),
            Scalar::Float(float) => cut(*float),
            Scalar::Text(text) => match (text.trim().parse::<i64>(), text.trim().parse::<f64>()) {
                (Ok(number), _) => (number, true),
                (_, Ok(float)) if float.is_finite() => cut(float),
                _ => (0, false),
            },
        }
    }

    /// What it is, for messages.
    pub(crate) fn description(&self) -> &'static str {
        match self {
            Scalar::Null => "nothing",
            Scalar::Bool(_) => "a boolean",
            Scalar::Int(_) => "a whole number",
            Scalar::Float(_) => "a number with a fraction",
            Scalar::Text(_) => "text",
        }
    }
}

fn is_null(raw: &str) -> bool {
    matches!(raw, "" | "~" | "null" | "Null" | "NULL")
}

fn boolean(raw: &str) -> Option<bool> {
    match raw {
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    }
}

fn integer(raw: &str) -> Option<Int> {
    let (negative, digits) = match raw.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, raw.strip_prefix('+').unwrap_or(raw)),
    };
    let in_radix = |digits: &str, radix: u32| {
        let clean = digits.replace('_', "");
        let fits = !clean.is_empty() && clean.chars().all(|c| c.is_digit(radix));
        fits.then(|| i128::from_str_radix(&clean, radix).ok()).flatten().map(|value| value.to_string())
    };
    let magnitude = if let Some(rest) = digits.strip_prefix("0b") {
        in_radix(rest, 2)?
    } else if let Some(rest) = digits.strip_prefix("0x") {
        in_radix(rest, 16)?
    } else if digits.len() > 1 && digits.starts_with('0') {
        in_radix(digits, 8)?
    } else {
        let starts_with_digit = digits.starts_with(|c: char| c.is_ascii_digit());
        let all_digits = digits.bytes().all(|b| b.is_ascii_digit() || b == b'_');
        (starts_with_digit && all_digits).then(|| digits.replace('_', ""))?
    };
    let sign = if negative && magnitude != "0" { "-" } else { "" };
    Some(Int { text: format!("{sign}{magnitude}") })
}

/// A number with a fraction or an exponent. Infinities and YAML 1.1's base 60 stay text.
fn float(raw: &str) -> Option<f64> {
    let unsigned = raw.strip_prefix(['-', '+']).unwrap_or(raw);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit() || b == b'_');
    let leads = |text: &str| text.starts_with(|c: char| c.is_ascii_digit());
    let whole_fits = if whole.is_empty() { fraction.is_some_and(leads) && unsigned == raw } else { leads(whole) };
    let exponent_fits = exponent.is_none_or(|exponent| {
        let magnitude = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        !magnitude.is_empty() && magnitude.bytes().all(|b| b.is_ascii_digit())
    });
    let is_float = whole_fits
        && digits(whole)
        && fraction.is_none_or(digits)
        && exponent_fits
        && (fraction.is_some() || exponent.is_some());
    is_float.then(|| raw.replace('_', "").parse().ok()).flatten()
}

/// A double as Java prints it: `3.0`, `0.001`, `1.0E7`. Property values are handed on in this form.
fn java_double(value: f64) -> String {
    let magnitude = value.abs();
    if value == 0.0 || !value.is_finite() || (1e-3..1e7).contains(&magnitude) {
        return format!("{value:?}");
    }
    let scientific = format!("{value:E}");
    match scientific.split_once('E') {
        Some((mantissa, exponent)) if !mantissa.contains('.') => format!("{mantissa}.0E{exponent}"),
        _ => scientific,
    }
}

#[cfg(test)]
mod tests {
    use super::Scalar;

    /// The resolution of upstream's parser, as text and kind.
    #[test]
    fn resolution_follows_upstream() {
        for (raw, kind, text) in [
            ("3.0", "a number with a fraction", "3.0"),
            ("3.10", "a number with a fraction", "3.1"),
            ("1e3", "a number with a fraction", "1000.0"),
            ("1e-5", "a number with a fraction", "1.0E-5"),
            ("12345678.5", "a number with a fraction", "1.23456785E7"),
            (".5", "a number with a fraction", "0.5"),
            ("1_000", "a whole number", "1000"),
            ("-0", "a whole number", "0"),
            ("+7", "a whole number", "7"),
            ("010", "a whole number", "8"),
            ("0x1F", "a whole number", "31"),
            ("0b101", "a whole number", "5"),
            ("99999999999999999999999", "a whole number", "99999999999999999999999"),
            ("yes", "a boolean", "true"),
            ("Off", "a boolean", "false"),
            ("yEs", "text", "yEs"),
            ("y", "text", "y"),
            ("12:30", "text", "12:30"),
            ("1.2.3.4", "text", "1.2.3.4"),
            ("08", "text", "08"),
            ("0b", "text", "0b"),
            ("-", "text", "-"),
            ("+", "text", "+"),
            ("1.5s", "text", "1.5s"),
            (".inf", "text", ".inf"),
            ("-.5", "text", "-.5"),
            ("e5", "text", "e5"),
            ("~", "nothing", "null"),
            ("NULL", "nothing", "null"),
            ("", "nothing", "null"),
        ] {
            let scalar = Scalar::plain(raw);
            assert_eq!((scalar.description(), scalar.to_text().as_str()), (kind, text), "{raw:?}");
        }
    }

    /// The conversion of `asLong`, with the surprises that a warning is due for.
    #[test]
    fn as_long() {
        let text = |text: &str| Scalar::Text(text.to_owned());
        for (scalar, expected) in [
            (Scalar::plain("91"), (91, true)),
            (Scalar::plain("-5"), (-5, true)),
            (Scalar::plain("12.9"), (12, false)),
            (Scalar::plain("12.0"), (12, true)),
            (Scalar::plain("true"), (1, false)),
            (Scalar::plain(""), (0, false)),
            (Scalar::plain("99999999999999999999"), (0, false)),
            (text(" 12 "), (12, true)),
            (text("+12"), (12, true)),
            (text("12.5"), (12, false)),
            (text("1e3"), (1000, true)),
            (text("15min"), (0, false)),
            (text("NaN"), (0, false)),
            (text(""), (0, false)),
        ] {
            assert_eq!(scalar.to_long(), expected, "{scalar:?}");
        }
    }

    /// A tag of YAML's own decides; any other tag makes text.
    #[test]
    fn tags_decide() {
        assert_eq!(Scalar::tagged("3.0", "str"), Scalar::Text("3.0".into()));
        assert_eq!(Scalar::tagged("12", "int").to_text(), "12");
        assert_eq!(Scalar::tagged("x", "null"), Scalar::Null);
        assert_eq!(Scalar::tagged("x", "float"), Scalar::Text("x".into()));
        assert_eq!(Scalar::tagged("5", "!mine"), Scalar::Text("5".into()));
    }
}
