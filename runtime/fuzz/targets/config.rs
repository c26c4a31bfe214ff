//! Module files and what may stand in them.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use millpond::config::render::{Style, render_all};
use millpond::config::{LoadOptions, Source, date, duration, errors_only, load_sources, resource};
use millpond::invoker::template::Template;

use crate::{Target, corpus};

/// 2024-01-01T00:00Z: the present of the targets.
const NOW_MS: i64 = 1_704_067_200_000;

/// Bytes of all findings of one file as they are printed.
const FINDINGS_BYTES_MAX: usize = 4_000_000;

/// A module file, alone and beside an empty one, with variables and without: everything that there is to show of it is
/// shown, a refusal has an error, and the same file is the same module.
pub fn module_yaml(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let plain = LoadOptions {
        environment: None,
        now_ms: NOW_MS,
        read_file: &|path, _| match path.starts_with("/there") {
            true => Ok(bytes.to_vec()),
            false => Err(io::ErrorKind::NotFound.into()),
        },
        variable: &|name| (name.len() == 1).then(|| text.to_string()),
        for_run: true,
    };
    let interpolating =
        LoadOptions { environment: Some(&|name| (name.len() == 1).then(|| "a: [b]".to_owned())), ..plain };
    let sources: [Arc<Source>; 2] = [Source::new("a.yaml", text.clone()), Source::new("b.yaml", "")];
    for options in [&plain, &interpolating] {
        let findings = match load_sources(&sources, options) {
            Ok((module, findings)) => {
                let described = module.describe();
                let again = load_sources(&sources[..1], options).expect("an empty file adds nothing").0;
                assert_eq!(again.describe(), described);
                assert_eq!(errors_only(&findings).count(), 0);
                for endpoint in module.endpoints() {
                    // The start of a node says what is wrong with a URL that a module may have.
                    let _ = Template::parse(endpoint.url.as_str()).map(|template| template.destination("name"));
                }
                findings.into_iter().chain(module.not_yet()).collect()
            }
            Err(findings) => {
                assert!(errors_only(&findings).next().is_some(), "a refusal has an error");
                findings
            }
        };
        let printed = render_all(&findings, Style::Plain);
        assert!(printed.len() < FINDINGS_BYTES_MAX, "{} bytes", printed.len());
        // A file cannot move the cursor.
        assert!(!printed.contains(|c: char| c.is_control() && c != '\n'), "{printed:?}");
    }
}

/// Durations: what is read is printed in a form that is read as the same.
pub fn duration_text(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(duration) = duration::parse(text) {
        assert_eq!(duration::parse(&duration::display(duration)), Ok(duration));
        assert!(duration <= Duration::new(i64::MAX as u64, 999_999_999));
    }
}

/// Dates: what is read is, written in UTC, the same moment.
pub fn date_text(bytes: &[u8]) {
    let Some(moment) = std::str::from_utf8(bytes).ok().and_then(date::parse) else { return };
    let written = utc(moment);
    // A zone may carry a date out of the four digits of a year.
    if written.len() == "2024-01-01 00:00:00.000 Z".len() && !written.starts_with('-') {
        assert_eq!(date::parse(&written), Some(moment), "{written}");
    }
}

/// A moment in the form of start positions. Days are counted from 1 March of the year 0, as calendars do that want the leap
/// day at the end.
fn utc(moment_ms: i64) -> String {
    let (days, of_day) = (moment_ms.div_euclid(86_400_000) + 719_468, moment_ms.rem_euclid(86_400_000));
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, year) = if month < 10 { (month + 3, year) } else { (month - 9, year + 1) };
    let (hour, minute) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (second, milli) = (of_day / 1000 % 60, of_day % 1000);
    let year = era * 400 + year;
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}.{milli:03} Z")
}

/// Locations of files: a path has no scheme left in it, and none is empty.
pub fn location(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(path) = resource::path(text) {
        assert!(!path.as_os_str().is_empty(), "{text:?}");
        assert!(!path.starts_with("file:") || !text.starts_with("file:") || text[5..].starts_with("file:"), "{path:?}");
    }
}

/// The list.
pub const TARGETS: &[Target] = &[
    Target { name: "module_yaml", run: module_yaml, corpus: corpus::modules, words: YAML },
    Target {
        name: "duration_text",
        run: duration_text,
        corpus: || {
            corpus::texts(&["1 min", "500", "  7 \t S ", "9223372036854775807 s", "5µs", "3H", "106751991167 day"])
        },
        words: &[b"9223372036854775807", b"d", b"ns", "µs".as_bytes(), b" ", "\u{2003}".as_bytes(), "İ".as_bytes()],
    },
    Target {
        name: "date_text",
        run: date_text,
        corpus: || {
            corpus::texts(&[
                "2020-02-01 04:15:00.00 Z",
                "2024-02-29 23:59:59.999 +0000",
                "0000-01-01 00:00:00 -18:00",
                "9999-12-31 23:59:59.999999999 +1800",
            ])
        },
        words: &[b"-", b":", b"+", b".", b" ", b"Z", b"29", b"00", "é".as_bytes()],
    },
    Target {
        name: "location",
        run: location,
        corpus: || {
            corpus::texts(&["a/module.yaml", "file:///a%20b", "file:a", "file://localhost/a", "classpath:a", "C:\\a"])
        },
        words: &[b"file:", b"//", b"%", b"%ff", b":", b"localhost"],
    },
];

/// What has a meaning in YAML, and in module files.
const YAML: &[&[u8]] = &[
    b"\n",
    b"\n  ",
    b"\t",
    b": ",
    b"- ",
    b"[",
    b"]",
    b"{",
    b"}",
    b",",
    b"\"",
    b"'",
    b"&a ",
    b"*a",
    b"!!str ",
    b"!x ",
    b"? ",
    b"| ",
    b">-\n",
    b"#",
    b"---\n",
    b"...\n",
    b"%YAML 1.2\n",
    b"${A}",
    b"${",
    b"${A:-b}",
    b"$${",
    b"~",
    b"null",
    b"-1",
    b".inf",
    b"99999999999999999999",
    b"1e999",
    b"0x",
    "é".as_bytes(),
    "\u{1F600}".as_bytes(),
    b"\0",
    b"\x1b[2J",
    "\u{85}".as_bytes(),
    "\u{2028}".as_bytes(),
    b"\r",
    b"\r\n",
    "\u{feff}".as_bytes(),
    b"spec:",
    b"kind:",
    b"version: \"3.0\"\n",
    b"/",
    b"*",
    b"<<: *a",
    b"{function.name}",
    b"http://",
    b"1 min",
    b"io.statefun.kafka.v1/ingress",
];
