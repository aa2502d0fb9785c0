//! Gives a core module a function that writes its memory and its globals back as they were when it was made.

use std::borrow::Cow;

use anyhow::{Context, bail};
use wasm_encoder::{Encode, Function, Instruction, RawSection, Section as _};
use wasmparser::{DataKind, Operator, Parser, Payload, TypeRef};

/// Writing more than this much memory back costs more than a new instance.
const MEMORY_MAX: usize = 2 << 20;
/// A shorter run of zeros is written along with what is around it: each piece has a cost of its own.
const GAP: usize = 512;
const PAGE: u64 = 64 << 10;

/// What of a module matters here.
#[derive(Default)]
struct Module<'a> {
    /// Every section in order, by its id.
    sections: Vec<(u8, &'a [u8])>,
    types: u32,
    imported_functions: u32,
    functions: u32,
    imported_globals: u32,
    /// The mutable globals with what they begin with.
    globals: Vec<(u32, Instruction<'a>)>,
    /// The memory that it defines, as it begins.
    memory: Option<Vec<u8>>,
    has_imported_memory: bool,
    /// Data that it writes when it likes, in its place; what is written at the start is part of the memory instead.
    data: Vec<&'a [u8]>,
}

/// The module, with the function exported under `name` and run at the start; none where it keeps no state.
///
/// # Errors
/// Why its state cannot be put back.
pub(super) fn with_reset(bytes: &[u8], name: &str) -> anyhow::Result<Option<Vec<u8>>> {
    let mut module = Module::default();
    for payload in Parser::new(0).parse_all(bytes) {
        module.add(payload?, bytes)?;
    }
    if module.globals.is_empty() && module.memory.is_none() {
        return Ok(None);
    }
    module.write(name).map(Some)
}

impl<'a> Module<'a> {
    fn add(&mut self, payload: Payload<'a>, bytes: &'a [u8]) -> anyhow::Result<()> {
        if let Some((id, range)) = payload.as_section() {
            let (start, end) = (usize::try_from(range.start)?, usize::try_from(range.end)?);
            self.sections.push((id, bytes.get(start..end).context("a section breaks off")?));
        }
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    self.types += u32::try_from(group?.types().len())?;
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    match import?.ty {
                        TypeRef::Func(_) => self.imported_functions += 1,
                        TypeRef::Global(_) => self.imported_globals += 1,
                        TypeRef::Memory(_) => self.has_imported_memory = true,
                        TypeRef::Table(_) => {}
                        _ => bail!("it imports something unknown"),
                    }
                }
            }
            Payload::FunctionSection(section) => self.functions = section.count(),
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory?;
                    let size = usize::try_from(memory.initial.saturating_mul(PAGE))?;
                    if self.memory.is_some() || self.has_imported_memory || memory.page_size_log2.is_some() {
                        bail!("it has a memory of a kind that is not known");
                    }
                    if size > MEMORY_MAX {
                        bail!("its memory of {size} bytes is too large");
                    }
                    self.memory = Some(vec![0; size]);
                }
            }
            Payload::GlobalSection(section) => {
                for (index, global) in (self.imported_globals..).zip(section) {
                    let global = global?;
                    if global.ty.mutable {
                        self.globals.push((index, constant(&global.init_expr)?));
                    }
                }
            }
            Payload::StartSection { .. } => bail!("it has a start function"),
            Payload::DataSection(section) => {
                for data in section {
                    let data = data?;
                    let offset_expr = match data.kind {
                        DataKind::Active { memory_index: 0, offset_expr } => offset_expr,
                        DataKind::Active { .. } => bail!("it has a second memory"),
                        DataKind::Passive => {
                            self.data.push(data.data);
                            continue;
                        }
                    };
                    self.data.push(&[]);
                    let Instruction::I32Const(offset) = constant(&offset_expr)? else { bail!("its data has no place") };
                    let offset = usize::try_from(offset.cast_unsigned())?;
                    let memory = self.memory.as_mut().context("it writes to another module's memory")?;
                    let place = memory.get_mut(offset..).and_then(|rest| rest.get_mut(..data.data.len()));
                    place.context("its data is outside its memory")?.copy_from_slice(data.data);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn write(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let pieces = self.memory.as_deref().map_or_else(Vec::new, pieces);
        let index = self.imported_functions + self.functions;
        let mut export = encoded(name);
        export.push(0);
        index.encode(&mut export);
        let data_count = self.data.len() + pieces.len();
        let mut data = encoded(&data_count);
        for piece in self.data.iter().chain(pieces.iter().map(|(_, piece)| piece)) {
            data.push(PASSIVE);
            piece.encode(&mut data);
        }
        let mut out = wasm_encoder::Module::HEADER.to_vec();
        for id in ORDER {
            let section = self.sections.iter().find(|(known, _)| *known == id).map(|(_, data)| *data);
            let section: Option<Cow<'_, [u8]>> = match id {
                TYPE => Some(appended(section, &NOTHING_TO_NOTHING)?.into()),
                FUNCTION => Some(appended(section, &encoded(&self.types))?.into()),
                EXPORT => Some(appended(section, &export)?.into()),
                START => Some(encoded(&index).into()),
                DATA_COUNT => Some(encoded(&data_count).into()),
                CODE => Some(appended(section, &encoded(&self.reset(&pieces)))?.into()),
                DATA => Some(data.as_slice().into()),
                _ => section.map(Cow::Borrowed),
            };
            if let Some(section) = section {
                RawSection { id, data: &section }.append_to(&mut out);
            }
        }
        Ok(out)
    }

    /// Globals, then the memory from its first byte to its last: zeros, pieces, zeros.
    fn reset(&self, pieces: &[(usize, &[u8])]) -> Function {
        let mut function = Function::new([]);
        for (index, value) in &self.globals {
            function.instruction(value).instruction(&Instruction::GlobalSet(*index));
        }
        let mut done = 0;
        let size = self.memory.as_ref().map_or(0, Vec::len);
        let first = u32::try_from(self.data.len()).unwrap_or(u32::MAX);
        for (number, (offset, piece)) in (first..).zip(pieces) {
            zero(&mut function, done, *offset);
            for value in [*offset, 0, piece.len()] {
                function.instruction(&size_of(value));
            }
            function.instruction(&Instruction::MemoryInit { mem: 0, data_index: number });
            done = offset + piece.len();
        }
        zero(&mut function, done, size);
        function.instruction(&Instruction::End);
        function
    }
}

/// Writes zeros from one place to another.
fn zero(function: &mut Function, from: usize, to: usize) {
    if from < to {
        function.instruction(&size_of(from));
        function.instruction(&Instruction::I32Const(0));
        function.instruction(&size_of(to - from));
        function.instruction(&Instruction::MemoryFill(0));
    }
}

/// A place or length in a memory of at most `MEMORY_MAX`.
fn size_of(value: usize) -> Instruction<'static> {
    Instruction::I32Const(i32::try_from(value).unwrap_or(i32::MAX))
}

/// The parts of a memory that are not zero, each with its place.
fn pieces(memory: &[u8]) -> Vec<(usize, &[u8])> {
    let mut pieces: Vec<std::ops::Range<usize>> = Vec::new();
    for (at, _) in memory.iter().enumerate().filter(|(_, byte)| **byte != 0) {
        match pieces.last_mut() {
            Some(piece) if at - piece.end < GAP => piece.end = at + 1,
            _ => pieces.push(at..at + 1),
        }
    }
    pieces.into_iter().filter_map(|piece| Some((piece.start, memory.get(piece)?))).collect()
}

/// The one constant that an expression is.
fn constant(expression: &wasmparser::ConstExpr<'_>) -> anyhow::Result<Instruction<'static>> {
    let mut operators = expression.get_operators_reader();
    let value = match operators.read()? {
        Operator::I32Const { value } => Instruction::I32Const(value),
        Operator::I64Const { value } => Instruction::I64Const(value),
        Operator::F32Const { value } => Instruction::F32Const(f32::from_bits(value.bits()).into()),
        Operator::F64Const { value } => Instruction::F64Const(f64::from_bits(value.bits()).into()),
        _ => bail!("something begins as what is no constant"),
    };
    match operators.read()? {
        Operator::End => Ok(value),
        _ => bail!("something begins as what is no constant"),
    }
}

/// A section with one item more.
fn appended(section: Option<&[u8]>, item: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut reader = wasmparser::BinaryReader::new(section.unwrap_or(&[0]), 0);
    let count = reader.read_var_u32()?;
    let mut out = encoded(&(count + 1));
    out.extend_from_slice(reader.read_bytes(reader.bytes_remaining())?);
    out.extend_from_slice(item);
    Ok(out)
}

fn encoded<T: Encode + ?Sized>(value: &T) -> Vec<u8> {
    let mut out = Vec::new();
    value.encode(&mut out);
    out
}

const TYPE: u8 = 1;
const FUNCTION: u8 = 3;
const EXPORT: u8 = 7;
const START: u8 = 8;
const CODE: u8 = 10;
const DATA: u8 = 11;
const DATA_COUNT: u8 = 12;
const TAG: u8 = 13;
/// The sections that a module may have, in their order. What is custom says nothing to the engine.
const ORDER: [u8; 13] = [TYPE, 2, FUNCTION, 4, 5, TAG, 6, EXPORT, START, 9, DATA_COUNT, CODE, DATA];
/// The type `() -> ()`.
const NOTHING_TO_NOTHING: [u8; 3] = [0x60, 0, 0];
/// Data that is written only when told.
const PASSIVE: u8 = 1;
