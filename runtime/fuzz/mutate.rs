//! From a seed to bytes: an entry of the corpus with a few mistakes in it, or noise.

use fastrand::Rng;

use crate::Target;

/// The most bytes of an input; an entry of the corpus may have more.
const BYTES_MAX: usize = 4096;

/// Numbers at which decoders end, begin or turn round.
const NUMBERS: [u64; 16] = [
    0,
    1,
    0x7f,
    0x80,
    0xff,
    0x100,
    0x7fff,
    0xffff,
    0x1_0000,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    0x1_0000_0000,
    i64::MAX as u64,
    1 << 63,
    u64::MAX,
];

/// The input of a seed: the corpus as it is for the first seeds, then mutations of it. The same seed is the same bytes as
/// long as the corpus is the same.
pub(crate) fn input(target: &Target, corpus: &[Vec<u8>], seed: u64) -> Vec<u8> {
    if let Some(entry) = usize::try_from(seed).ok().and_then(|at| corpus.get(at)) {
        return entry.clone();
    }
    let name = target.name.bytes().fold(0, |sum: u64, byte| sum.wrapping_mul(31).wrapping_add(byte.into()));
    let mut random = Rng::with_seed(seed ^ name.rotate_left(32));
    if corpus.is_empty() || random.u8(..10) == 0 {
        return noise(&mut random);
    }
    let mut bytes = corpus[random.usize(..corpus.len())].clone();
    for _ in 0..1 + random.u32(..8).min(random.u32(..8)) {
        mutate(&mut bytes, target, corpus, &mut random);
    }
    bytes
}

fn noise(random: &mut Rng) -> Vec<u8> {
    let length = match random.u8(..8) {
        0 => random.usize(..BYTES_MAX),
        1..=3 => random.usize(..256),
        _ => random.usize(..24),
    };
    (0..length).map(|_| random.u8(..)).collect()
}

/// One mistake.
fn mutate(bytes: &mut Vec<u8>, target: &Target, corpus: &[Vec<u8>], random: &mut Rng) {
    let at = random.usize(..=bytes.len());
    let end = (at + random.usize(..32)).min(bytes.len());
    match random.u8(..12) {
        0 | 1 => change(bytes, random, |byte, random| byte ^ 1 << random.u8(..8)),
        2 => change(bytes, random, |_, random| random.u8(..)),
        // Lengths and numbers of one byte, a little off.
        3 => change(bytes, random, |byte, random| byte.wrapping_add(random.u8(..5)).wrapping_sub(2)),
        4 => drop(bytes.drain(at..end)),
        5 => bytes.truncate(at),
        6 => insert(bytes, at, &noise(random)[..]),
        7 => {
            let again = bytes[at..end].to_vec();
            insert(bytes, at, &again);
        }
        8 => insert(bytes, at, &number(random)),
        9 => {
            let number = number(random);
            let end = (at + number.len()).min(bytes.len());
            bytes.splice(at..end, number);
        }
        10 if !target.words.is_empty() => insert(bytes, at, random.choice(target.words).expect("a word")),
        _ => {
            let other = &corpus[random.usize(..corpus.len())];
            let (from, to) = (random.usize(..=other.len()), random.usize(..=other.len()));
            let piece = &other[from.min(to)..from.max(to)];
            if random.bool() {
                bytes.truncate(at);
            }
            insert(bytes, at, &piece[..piece.len().min(BYTES_MAX)]);
        }
    }
}

fn change(bytes: &mut [u8], random: &mut Rng, change: impl FnOnce(u8, &mut Rng) -> u8) {
    if !bytes.is_empty() {
        let at = random.usize(..bytes.len());
        bytes[at] = change(bytes[at], random);
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    if bytes.len() + piece.len() <= BYTES_MAX {
        bytes.splice(at..at, piece.iter().copied());
    }
}

/// A number that matters, in one of the forms in which ours are written.
fn number(random: &mut Rng) -> Vec<u8> {
    let number = NUMBERS[random.usize(..NUMBERS.len())];
    match random.u8(..5) {
        0 => number.to_be_bytes().to_vec(),
        1 => number.to_le_bytes().to_vec(),
        2 => number.to_be_bytes()[4..].to_vec(),
        3 => number.to_string().into_bytes(),
        _ => {
            let mut varint = Vec::new();
            prost::encoding::encode_varint(number, &mut varint);
            varint
        }
    }
}
