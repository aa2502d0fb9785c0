//! A large plugin: a small one with many functions more, all different, which nothing calls and the compiler compiles.

/// A section of a core module: its number, and its contents.
type Section = (u8, Vec<u8>);

const TYPES: u8 = 1;
const FUNCTIONS: u8 = 3;
const CODE: u8 = 10;
/// Steps of one function: about 1,000 bytes of code.
const STEPS: usize = 110;
const LOCALS: u64 = 8;

/// The module, with functions added until it is this large. Another seed makes other functions.
pub(crate) fn enlarge(module: &[u8], bytes_min: usize, seed: u64) -> Vec<u8> {
    let (header, rest) = module.split_at(8);
    let mut sections = sections(rest);
    // (func (param i64 i64) (result i64))
    let kind = count(&sections, TYPES);
    append(&mut sections, TYPES, 1, &[0x60, 2, 0x7e, 0x7e, 1, 0x7e]);
    let mut random = seed.wrapping_mul(2).wrapping_add(1);
    let (mut bodies, mut added) = (Vec::new(), 0);
    while module.len() + bodies.len() < bytes_min {
        let body = function(&mut random);
        bodies.extend(leb(body.len() as u64));
        bodies.extend(body);
        added += 1;
    }
    append(&mut sections, FUNCTIONS, added, &leb(kind).repeat(usize::try_from(added).unwrap()));
    append(&mut sections, CODE, added, &bodies);
    let mut large = header.to_vec();
    for (number, contents) in sections {
        large.push(number);
        large.extend(leb(contents.len() as u64));
        large.extend(contents);
    }
    large
}

/// A body of arithmetic on eight locals, with a branch now and then.
fn function(random: &mut u64) -> Vec<u8> {
    let mut next = |below: u64| {
        *random ^= *random << 13;
        *random ^= *random >> 7;
        *random ^= *random << 17;
        *random % below
    };
    // Six locals beside the two parameters.
    let mut body = vec![1, 6, 0x7e];
    let local = |at: u64| u8::try_from(at).unwrap();
    for step in 0..STEPS {
        let (a, b, to) = (local(next(LOCALS)), local(next(LOCALS)), local(next(LOCALS)));
        // local.get a; local.get b; add, sub, mul, and, or, xor, shl or rotl; i64.const n; i64.xor; local.set to
        let operation = [0x7c, 0x7d, 0x7e, 0x83, 0x84, 0x85, 0x86, 0x89].get(usize::from(local(next(8)))).copied();
        let constant = [0x80 | local(next(0x80)), local(next(0x40))];
        let work = [0x20, a, 0x20, b, operation.unwrap(), 0x42, constant[0], constant[1], 0x85, 0x21, to];
        if step % 10 == 9 {
            // local.get a; i64.eqz; if; …; end
            body.extend([0x20, a, 0x50, 0x04, 0x40]);
            body.extend(work);
            body.push(0x0b);
        } else {
            body.extend(work);
        }
    }
    body.extend([0x20, local(next(LOCALS)), 0x0b]);
    body
}

fn sections(mut rest: &[u8]) -> Vec<Section> {
    let mut found = Vec::new();
    while let Some((number, after)) = rest.split_first() {
        let (length, after) = read_leb(after);
        let (contents, after) = after.split_at(usize::try_from(length).unwrap());
        found.push((*number, contents.to_vec()));
        rest = after;
    }
    found
}

fn find(sections: &mut [Section], number: u8) -> &mut Vec<u8> {
    &mut sections.iter_mut().find(|(other, _)| *other == number).unwrap().1
}

/// How many items a section has.
fn count(sections: &[Section], number: u8) -> u64 {
    read_leb(&sections.iter().find(|(other, _)| *other == number).unwrap().1).0
}

fn append(sections: &mut [Section], number: u8, added: u64, items: &[u8]) {
    let contents = find(sections, number);
    let (before, rest) = read_leb(contents);
    *contents = [&leb(before + added), rest, items].concat();
}

/// An unsigned number of variable length.
fn leb(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = u8::try_from(number & 0x7f).unwrap();
        number >>= 7;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn read_leb(bytes: &[u8]) -> (u64, &[u8]) {
    let length = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
    let (number, rest) = bytes.split_at(length);
    (number.iter().rev().fold(0, |so_far, byte| so_far << 7 | u64::from(byte & 0x7f)), rest)
}
