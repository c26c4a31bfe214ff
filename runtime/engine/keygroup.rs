//! Key groups: how addresses are spread. Kafka's default partitioner over the id alone, so that a topic with as many
//! partitions, keyed by that id, may arrive where its state lives.

/// Key groups of an application. Fixed: every key in a ledger starts with one.
pub const KEY_GROUPS: u16 = 64;

/// The key group of an id: `(murmur2(id) & 0x7fffffff) mod 64`.
pub fn key_group(id: &str) -> u16 {
    let hash = murmur2(id.as_bytes()) & 0x7fff_ffff;
    (hash % u32::from(KEY_GROUPS)) as u16
}

/// MurmurHash2, 32 bits, with the seed of Kafka's clients (`Utils.murmur2`).
fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    let mut hash = SEED ^ data.len() as u32;
    let mut words = data.chunks_exact(4);
    for word in &mut words {
        let mut k = u32::from_le_bytes([word[0], word[1], word[2], word[3]]);
        k = k.wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let tail = words.remainder();
    if !tail.is_empty() {
        for (shift, byte) in tail.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * shift);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

#[cfg(test)]
mod tests {
    use super::murmur2;

    /// The hash is Kafka's: values published in the tests of Kafka's clients (`UtilsTest.testMurmur2`).
    #[test]
    fn murmur2_is_kafkas() {
        for (text, expected) in [
            ("21", -973_932_308_i32),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
        ] {
            assert_eq!(murmur2(text.as_bytes()) as i32, expected, "{text}");
        }
    }
}
