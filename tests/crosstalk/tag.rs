//! Requests by number, and all that a client and an origin must agree on about each.

use harness::Numbers;

/// The number of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tag(pub(super) u64);

/// Before every tag in a path.
const PREFIX: &str = "/tagged/";
/// The largest answer has so many bytes, as a power of two; the largest request body fewer.
const ANSWER_BITS: usize = 18;
const QUESTION_BITS: usize = 15;

impl Tag {
    /// As it is written in `x-tag`.
    pub(super) fn name(self) -> String {
        format!("{:016x}", self.0)
    }

    /// What is asked for.
    pub(super) fn path(self) -> String {
        format!("{PREFIX}{}", self.name())
    }

    /// The tag of a path.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        u64::from_str_radix(path.strip_prefix(PREFIX)?, 16).ok().map(Self)
    }

    /// Numbers of this tag alone, for one use.
    fn numbers(self, purpose: u64) -> Numbers {
        Numbers::new(Numbers::new(self.0 ^ (purpose << 56)).number())
    }

    /// The length of the answer's body: 0 in one of 19, else each order of magnitude as often as any other.
    pub(super) fn length(self) -> usize {
        length(&mut self.numbers(1), ANSWER_BITS)
    }

    /// The answer's body.
    pub(super) fn answer(self) -> Vec<u8> {
        self.numbers(2).bytes(self.length())
    }

    /// The request's body; none for a GET, which three in four are.
    pub(super) fn question(self) -> Option<Vec<u8>> {
        let mut numbers = self.numbers(3);
        (numbers.below(4) == 0).then(|| {
            let length = length(&mut numbers, QUESTION_BITS);
            self.numbers(4).bytes(length)
        })
    }

    /// Whether the origin answers in chunks.
    pub(super) fn is_chunked(self) -> bool {
        self.numbers(5).below(2) == 0
    }

    /// How long the origin waits amid the answer, in milliseconds; mostly not at all.
    pub(super) fn delay_ms(self) -> Option<u64> {
        let mut numbers = self.numbers(6);
        (numbers.below(16) == 0).then(|| 1 + numbers.below(10) as u64)
    }
}

fn length(numbers: &mut Numbers, bits_max: usize) -> usize {
    match numbers.below(bits_max + 1) {
        0 => 0,
        bits => {
            let least = 1 << (bits - 1);
            least + numbers.below(least + 1)
        }
    }
}
