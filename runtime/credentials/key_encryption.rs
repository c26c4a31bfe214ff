//! Opens encrypted PKCS#8 keys.
//!
//! In: an `EncryptedPrivateKeyInfo` and a password. Out: the `PrivateKeyInfo`, or nothing when the password is wrong. The
//! scheme of today (PBES2) is the `pkcs8` crate's. Three older ones are put together here from their primitives, because
//! upstream's users have such keys: its own instructions make them with `openssl pkcs8 -v1 PBE-SHA1-RC4-128`. They protect
//! little, and nothing is ever encrypted with them here.

use cbc::cipher::block_padding::Pkcs7;
use cbc::cipher::{BlockModeDecrypt, KeyInit, KeyIvInit, StreamCipher};
use md5::Md5;
use pkcs8::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use pkcs8::der::{Decode, Reader, SliceReader};
use pkcs8::pkcs5::EncryptionScheme;
use pkcs8::pkcs5::pbes2::Kdf;
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef};
use sha1::{Digest, Sha1};

const PBE_SHA1_RC4_128: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.1");
const PBE_SHA1_3DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.12.1.3");
const PBE_MD5_DES: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.3");
const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");

/// Rounds of key derivation that are worked off: seconds. Tools use a thousandth of it.
const ITERATIONS_MAX: u32 = 10_000_000;

/// Memory that a key derivation may take.
const SCRYPT_BYTES_MAX: u64 = 1 << 30;

/// Why a key cannot be opened with any password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SchemeProblem {
    /// It is not what its label says.
    #[error("it cannot be decoded: {0}")]
    Damaged(String),
    /// A scheme that is not known here.
    #[error("it is encrypted with a scheme that cannot be read here (object identifier {0})")]
    Unknown(String),
    /// A key derivation that would take minutes or more memory than there is.
    #[error("deriving the key of its password would take too long or too much memory")]
    TooMuchWork,
}

/// Opens a key; `None` when the password is wrong.
pub(super) fn open(sealed: &[u8], password: &[u8]) -> Result<Option<Vec<u8>>, SchemeProblem> {
    let damaged = |e: pkcs8::der::Error| SchemeProblem::Damaged(e.to_string());
    let (algorithm, data) = parts(sealed).map_err(damaged)?;
    let opened = if algorithm.oid == PBES2 {
        open_pbes2(sealed, password)?
    } else {
        let known = [PBE_SHA1_RC4_128, PBE_SHA1_3DES, PBE_MD5_DES].contains(&algorithm.oid);
        if !known {
            return Err(SchemeProblem::Unknown(algorithm.oid.to_string()));
        }
        let (salt, iterations) = salt_and_iterations(algorithm.parameters).map_err(damaged)?;
        if iterations > ITERATIONS_MAX {
            return Err(SchemeProblem::TooMuchWork);
        }
        open_old(algorithm.oid, password, salt, iterations, data)
    };
    // A stream cipher opens with any password, and padding fits by chance now and then.
    Ok(opened.filter(|key| PrivateKeyInfoRef::try_from(&key[..]).is_ok()))
}

fn parts(sealed: &[u8]) -> pkcs8::der::Result<(AlgorithmIdentifierRef<'_>, &[u8])> {
    let mut reader = SliceReader::new(sealed)?;
    reader.sequence(|reader| {
        let algorithm = AlgorithmIdentifierRef::decode(reader)?;
        let data = <&OctetStringRef>::decode(reader)?;
        Ok((algorithm, data.as_bytes()))
    })
}

fn salt_and_iterations(parameters: Option<AnyRef<'_>>) -> pkcs8::der::Result<(&[u8], u32)> {
    let parameters = parameters.ok_or_else(|| pkcs8::der::Error::from(pkcs8::der::ErrorKind::Failed))?;
    parameters.sequence(|reader| {
        let salt = <&OctetStringRef>::decode(reader)?;
        Ok((salt.as_bytes(), u32::decode(reader)?))
    })
}

fn open_pbes2(sealed: &[u8], password: &[u8]) -> Result<Option<Vec<u8>>, SchemeProblem> {
    let sealed = EncryptedPrivateKeyInfoRef::try_from(sealed).map_err(|e| SchemeProblem::Damaged(e.to_string()))?;
    let too_much = match &sealed.encryption_algorithm {
        EncryptionScheme::Pbes2(parameters) => match &parameters.kdf {
            Kdf::Pbkdf2(it) => it.iteration_count > ITERATIONS_MAX,
            Kdf::Scrypt(it) => {
                let bytes = it.cost_parameter.saturating_mul(u64::from(it.block_size)).saturating_mul(128);
                bytes.saturating_mul(u64::from(it.parallelization)) > SCRYPT_BYTES_MAX
            }
            _ => false,
        },
        _ => false,
    };
    if too_much {
        return Err(SchemeProblem::TooMuchWork);
    }
    Ok(sealed.decrypt(password).ok().map(|key| key.as_bytes().to_vec()))
}

fn open_old(scheme: ObjectIdentifier, password: &[u8], salt: &[u8], iterations: u32, data: &[u8]) -> Option<Vec<u8>> {
    if scheme == PBE_SHA1_RC4_128 {
        let mut data = data.to_vec();
        let key = pkcs12_key(password, salt, iterations, Purpose::Key, 16);
        rc4::Rc4::new_from_slice(&key).ok()?.apply_keystream(&mut data);
        return Some(data);
    }
    if scheme == PBE_SHA1_3DES {
        let key = pkcs12_key(password, salt, iterations, Purpose::Key, 24);
        let iv = pkcs12_key(password, salt, iterations, Purpose::Iv, 8);
        let cipher = cbc::Decryptor::<des::TdesEde3>::new_from_slices(&key, &iv).ok()?;
        return unpad(cipher, data);
    }
    let both = pkcs5_key::<Md5>(password, salt, iterations);
    let cipher = cbc::Decryptor::<des::Des>::new_from_slices(&both[..8], &both[8..16]).ok()?;
    unpad(cipher, data)
}

fn unpad(cipher: impl BlockModeDecrypt, data: &[u8]) -> Option<Vec<u8>> {
    let mut data = data.to_vec();
    cipher.decrypt_padded::<Pkcs7>(&mut data).ok().map(<[u8]>::to_vec)
}

/// PBKDF1 of RFC 8018, 5.1.
fn pkcs5_key<D: Digest>(password: &[u8], salt: &[u8], iterations: u32) -> Vec<u8> {
    let mut hash = D::new().chain_update(password).chain_update(salt).finalize();
    for _ in 1..iterations {
        hash = D::digest(&hash);
    }
    hash.to_vec()
}

#[derive(Clone, Copy)]
enum Purpose {
    Key = 1,
    Iv = 2,
}

/// The key derivation of RFC 7292, appendix B, with SHA-1.
fn pkcs12_key(password: &[u8], salt: &[u8], iterations: u32, purpose: Purpose, length: usize) -> Vec<u8> {
    const BLOCK: usize = 64;
    // The password counts in UTF-16, with a zero at its end.
    let password: Vec<u8> =
        String::from_utf8_lossy(password).encode_utf16().chain([0]).flat_map(u16::to_be_bytes).collect();
    let whole_blocks =
        |bytes: &[u8]| -> Vec<u8> { bytes.iter().copied().cycle().take(bytes.len().div_ceil(BLOCK) * BLOCK).collect() };
    let mut input = [whole_blocks(salt), whole_blocks(&password)].concat();
    let mut key = Vec::with_capacity(length + 20);
    while key.len() < length {
        let mut hash = Sha1::new().chain_update([purpose as u8; BLOCK]).chain_update(&input).finalize();
        for _ in 1..iterations {
            hash = Sha1::digest(hash);
        }
        key.extend_from_slice(&hash);
        let added = whole_blocks(&hash);
        for block in input.chunks_mut(BLOCK) {
            add_and_one(block, &added);
        }
    }
    key.truncate(length);
    key
}

/// `block += added + 1`, as big numbers.
fn add_and_one(block: &mut [u8], added: &[u8]) {
    let mut carry = 1;
    for (byte, more) in block.iter_mut().zip(added).rev() {
        let sum = u16::from(*byte) + u16::from(*more) + carry;
        *byte = sum.to_be_bytes()[1];
        carry = sum >> 8;
    }
}
