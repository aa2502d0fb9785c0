//! Base64 (RFC 4648): both alphabets in, the standard one out.

use crate::json::Text;

const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The text for some bytes.
pub fn encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |place: usize| u32::from(three.get(place).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for place in 0..4 {
            let letter = LETTERS.get((bits >> (18 - 6 * place) & 63) as usize).copied().unwrap_or(b'=');
            text.push(if place <= three.len() { char::from(letter) } else { '=' });
        }
    }
    text
}

/// The bytes of a text in either alphabet, padded or not; `none` if it is no base64.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=').as_bytes();
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for four in text.chunks(4) {
        let mut bits = 0_u32;
        for place in 0..4 {
            bits = bits << 6 | four.get(place).map_or(Some(0), |letter| value(*letter))?;
        }
        if four.len() == 1 {
            return None;
        }
        let [_, first, second, third] = bits.to_be_bytes();
        bytes.extend([first, second, third].into_iter().take(four.len() - 1));
    }
    Some(bytes)
}

/// The same bytes in the standard alphabet, padded. What is so already stays as it is written.
pub fn standard(text: Text<'_>) -> Text<'_> {
    let plain = text.plain();
    if plain.len().is_multiple_of(4) && !plain.contains(['-', '_']) {
        return text;
    }
    let swapped = plain.trim_end_matches('=').chars().map(|letter| match letter {
        '-' => '+',
        '_' => '/',
        other => other,
    });
    let mut standard: String = swapped.collect();
    while !standard.len().is_multiple_of(4) {
        standard.push('=');
    }
    standard.into()
}

fn value(letter: u8) -> Option<u32> {
    Some(match letter {
        b'A'..=b'Z' => u32::from(letter - b'A'),
        b'a'..=b'z' => u32::from(letter - b'a') + 26,
        b'0'..=b'9' => u32::from(letter - b'0') + 52,
        b'+' | b'-' => 62,
        b'/' | b'_' => 63,
        _ => return None,
    })
}
