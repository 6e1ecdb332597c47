//! The token by which a node joins k3s: it follows from the cluster key, so nobody has to carry it.

use hkdf::Hkdf;
use sha2::Sha256;
use zeroize::Zeroizing;

/// What sets it apart from everything else that follows from the cluster key.
const LABEL: &[u8] = b"clusteros-init k3s token 1";

/// The token, 64 hexadecimal digits: HKDF-SHA256 (RFC 5869) of the cluster key, without a salt.
pub fn token(cluster_key: &[u8]) -> Zeroizing<String> {
    let mut bytes = Zeroizing::new([0_u8; 32]);
    // It fails only for more than 255 * 32 bytes.
    Hkdf::<Sha256>::new(None, cluster_key).expand(LABEL, &mut *bytes).unwrap_or_default();
    let mut text = Zeroizing::new(String::with_capacity(64));
    for byte in *bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(digit.into(), 16).unwrap_or('0'));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::token;

    #[test]
    fn it_follows_from_the_key_and_from_nothing_else() {
        // The same by Python's hmac: extract with 32 zero bytes, expand with the label and 1.
        assert_eq!(token(&[7; 32]).as_str(), "72b690b70c6bb10bd5f57dc54f8b901052a96cd9be58013be328eba4aa9f71ea");
        assert_ne!(token(&[7; 32]), token(&[8; 32]));
        assert_eq!(token(&[7; 32]).len(), 64);
    }
}
