//! Ready-made kinds of data: an expression finds candidates, and what the expression cannot say is checked.

use std::ops::Range;

use schemars::JsonSchema;
use serde::Deserialize;

/// A ready-made kind of data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// An address of electronic mail.
    Email,
    /// A number of 13 to 19 digits that begins with 2 to 6 and fits its check digit (Luhn, ISO/IEC 7812-1), with or
    /// without blanks, dots or hyphens between.
    CreditCard,
    /// An international bank account number whose check digits fit (ISO 13616, modulo 97), with or without blanks.
    Iban,
    /// An IPv4 address in four decimal numbers.
    Ipv4,
    /// An international telephone number, from "+" or "00", of 8 to 15 digits (E.164); or a North American one of ten
    /// digits in groups.
    Phone,
    /// A key of a well-known maker, by its prefix: OpenAI, Anthropic, AWS, Google, GitHub, GitLab, Slack, Stripe,
    /// Hugging Face, SendGrid, npm; or a JSON Web Token.
    ApiKey,
    /// A private key in PEM or OpenPGP armour, to its end or that of the text.
    PrivateKey,
}

impl Kind {
    /// Finds candidates.
    pub(crate) fn pattern(self) -> &'static str {
        match self {
            Self::Email => r"[\p{L}\p{N}.!#$%&'*+/=?^_{|}~-]+@(?:[\p{L}\p{N}-]+\.)+\p{L}{2,}",
            Self::CreditCard => r"[0-9](?:[ .\x{A0}-]?[0-9]){12,}",
            Self::Iban => r"(?i-u:[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,})",
            Self::Ipv4 => r"[0-9]{1,3}(?:\.[0-9]{1,3}){3,}",
            Self::Phone => {
                r"(?:\+|00)[1-9](?:[ ./()\x{A0}-]{0,3}[0-9]){7,}|\(?[2-9][0-9]{2}\)?[ .-]{1,2}[0-9]{3}[ .-][0-9]{4}"
            }
            Self::ApiKey => concat!(
                r"sk-[A-Za-z0-9_-]{20,}|(?:AKIA|ASIA)[0-9A-Z]{16}|AIza[0-9A-Za-z_-]{35}|gh[pousr]_[A-Za-z0-9]{36,}|",
                r"github_pat_[A-Za-z0-9_]{22,}|glpat-[A-Za-z0-9_-]{20,}|xox[abeoprs]-[A-Za-z0-9-]{10,}|",
                r"(?:sk|rk|pk)_(?:live|test)_[A-Za-z0-9]{10,}|hf_[A-Za-z0-9]{30,}|",
                r"SG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}|npm_[A-Za-z0-9]{36}|",
                r"eyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"
            ),
            Self::PrivateKey => concat!(
                r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*?)",
                r"-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|",
                r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----(?s:.*)"
            ),
        }
    }

    /// What of a candidate is of the kind.
    pub(crate) fn confirm(self, text: &str, candidate: Range<usize>) -> Vec<Range<usize>> {
        let bytes = text.as_bytes();
        let at = |place: Option<usize>| place.and_then(|place| bytes.get(place)).copied().unwrap_or(b' ');
        let (before, after) = (at(candidate.start.checked_sub(1)), at(Some(candidate.end)));
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let within = text.get(candidate.clone()).unwrap_or_default();
        let is_good = match self {
            Self::Email | Self::PrivateKey => true,
            Self::CreditCard => return cards(within, candidate.start, is_word(before), is_word(after)),
            Self::Iban if !is_word(before) => return iban(within, candidate.start, after).into_iter().collect(),
            Self::Iban => false,
            Self::Ipv4 => {
                let is_apart = !is_word(before) && before != b'.' && !is_word(after);
                let numbers = within.split('.').map(|number| number.parse::<u16>().unwrap_or(u16::MAX));
                is_apart && numbers.clone().count() == 4 && numbers.max().is_some_and(|number| number < 256)
            }
            Self::Phone => {
                let digits = within.bytes().filter(u8::is_ascii_digit).count();
                let is_apart = !is_word(before) && before != b'+' && !after.is_ascii_digit();
                let digits = digits - if within.starts_with("00") { 2 } else { 0 };
                is_apart && (8..=15).contains(&digits)
            }
            Self::ApiKey => !is_word(before) && before != b'-',
        };
        if is_good { vec![candidate] } else { Vec::new() }
    }
}

/// Card numbers in a run of digits: each begins and ends where a group of digits does.
fn cards(run: &str, start: usize, is_glued_before: bool, is_glued_after: bool) -> Vec<Range<usize>> {
    let digits: Vec<(usize, u8)> = run.bytes().enumerate().filter(|(_, byte)| byte.is_ascii_digit()).collect();
    let follows = |index: usize| match (index.checked_sub(1).and_then(|before| digits.get(before)), digits.get(index)) {
        (Some((before, _)), Some((at, _))) => before + 1 == *at,
        (None, _) => is_glued_before,
        (_, None) => is_glued_after,
    };
    let mut found = Vec::new();
    let mut first = 0;
    while first + CARD_DIGITS_MIN <= digits.len() {
        let lengths = (CARD_DIGITS_MIN..=CARD_DIGITS_MAX).rev();
        let fits = |length: &usize| {
            let number = digits.get(first..first + length).unwrap_or_default();
            !number.is_empty() && !follows(first + length) && is_card(number)
        };
        match lengths.into_iter().find(fits).filter(|_| !follows(first)) {
            Some(length) => {
                let end = digits.get(first + length - 1).map_or(0, |(at, _)| at + 1);
                found.push(start + digits.get(first).map_or(0, |(at, _)| *at)..start + end);
                first += length;
            }
            None => first += 1,
        }
    }
    found
}

const CARD_DIGITS_MIN: usize = 13;
const CARD_DIGITS_MAX: usize = 19;

/// The check of ISO/IEC 7812-1: from the right, every second digit counts twice.
fn is_card(digits: &[(usize, u8)]) -> bool {
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, (_, digit))| {
            let value = u32::from(digit - b'0') << (place % 2);
            if value > 9 { value - 9 } else { value }
        })
        .sum();
    digits.first().is_some_and(|(_, first)| (b'2'..=b'6').contains(first)) && sum.is_multiple_of(10)
}

/// The account number that a run begins with: as long as its country's are, and its check digits fit.
fn iban(run: &str, start: usize, after: u8) -> Option<Range<usize>> {
    let letters: Vec<(usize, u8)> = run.bytes().enumerate().filter(|(_, byte)| *byte != b' ').collect();
    let country = run.get(..2)?.to_ascii_uppercase();
    let countries = IBAN_LETTERS.split_ascii_whitespace().filter_map(|entry| entry.split_at_checked(2));
    let length: usize = countries.into_iter().find(|(known, _)| *known == country)?.1.parse().ok()?;
    let (last, _) = letters.get(length - 1)?;
    let is_apart = match letters.get(length) {
        Some((next, _)) => last + 1 != *next,
        None => !after.is_ascii_alphanumeric(),
    };
    (is_apart && is_iban(letters.get(..length)?)).then_some(start..start + last + 1)
}

/// How many letters and digits an account number has in each country, by the registry of ISO 13616.
const IBAN_LETTERS: &str = "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 \
    DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 \
    JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 \
    PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 \
    XK20 YE30";

/// The check of ISO 13616: with its first four letters at its end, A as 10 to Z as 35, it is 1 modulo 97.
fn is_iban(letters: &[(usize, u8)]) -> bool {
    let (head, tail) = letters.split_at(4.min(letters.len()));
    let rest = tail.iter().chain(head).fold(0, |rest: u32, (_, letter)| {
        let value = char::from(*letter).to_digit(36).unwrap_or(0);
        (rest * if value > 9 { 100 } else { 10 } + value) % 97
    });
    rest == 1
}
