//! WASI preview 1 for core modules that import it: our own adapter, and wrappers that tell it when it must not call out.

use std::convert::Infallible;

use wasm_encoder::reencode::{Error, Reencode, utils};
use wasm_encoder::{
    CodeSection, ConstExpr, ExportKind, ExportSection, Function, FunctionSection, GlobalSection, GlobalType, Module,
    SectionId, ValType,
};
use wasmparser::{
    CodeSectionReader, Export, ExportSectionReader, ExternalKind, FuncType, FunctionBody, FunctionSectionReader,
    GlobalSectionReader, Parser, Payload, TypeRef,
};

/// What the modules import it as, and the adapter's name for it.
pub(super) const NAME: &str = "wasi_snapshot_preview1";

/// The adapter: `preview1.wat`, assembled.
pub(super) const ADAPTER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/preview1.wasm"));

/// The world of the adapter's own imports, for `embed_component_metadata`.
pub(super) const WORLD: &str = "world preview1 {
    import gatewright:policy/log@0.1.0;
    import gatewright:policy/clock@0.1.0;
    import wasi:random/random@0.2.0;
}";

/// The one function of WASI 0.2 that the adapter needs: it returns no list, so nothing is allocated for it.
pub(super) const RANDOM: &str = "package wasi:random@0.2.0;
interface random { get-random-u64: func() -> u64; }";

/// The global that says that the guest may not call out.
const BUSY: &str = "gatewright-busy";

/// Whether a module imports WASI preview 1.
///
/// # Errors
/// Where the module cannot be read.
pub(super) fn is_imported(module: &[u8]) -> anyhow::Result<bool> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ImportSection(imports) = payload? {
            for import in imports.into_imports() {
                if import?.module == NAME {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// The module with a global that is 1 while an export runs from which the component model lets nobody call out.
///
/// # Errors
/// Where the module cannot be read.
pub(super) fn guarded(module: &[u8]) -> anyhow::Result<Vec<u8>> {
    let mut guard = Guard::default();
    for payload in Parser::new(0).parse_all(module) {
        guard.read(&payload?)?;
    }
    let mut guarded = Module::new();
    guard.parse_core_module(&mut guarded, Parser::new(0), module)?;
    Ok(guarded.finish())
}

/// What of a module says how its exports are wrapped.
#[derive(Default)]
struct Guard {
    types: Vec<FuncType>,
    /// The type of each function, imported ones first.
    functions: Vec<u32>,
    globals: u32,
    has_global_section: bool,
    /// Functions that are wrapped, each with the number of its wrapper.
    wrapped: Vec<(u32, u32)>,
}

/// Exports that the host calls while it moves values in or out (component model, canonical ABI).
fn is_called_amid_a_move(name: &str) -> bool {
    let allocates = ["cabi_realloc", "canonical_abi_realloc", "cm32p2_realloc"].contains(&name);
    allocates || name.starts_with("cabi_post_") || (name.starts_with("cm32p2|") && name.ends_with("_post"))
}

impl Guard {
    fn read(&mut self, payload: &Payload<'_>) -> anyhow::Result<()> {
        match payload {
            Payload::TypeSection(types) => {
                self.types = types.clone().into_iter_err_on_gc_types().collect::<Result<_, _>>()?;
            }
            Payload::ImportSection(imports) => {
                for import in imports.clone().into_imports() {
                    match import?.ty {
                        TypeRef::Func(ty) => self.functions.push(ty),
                        TypeRef::Global(_) => self.globals += 1,
                        _ => {}
                    }
                }
            }
            Payload::FunctionSection(functions) => {
                for ty in functions.clone() {
                    self.functions.push(ty?);
                }
            }
            Payload::GlobalSection(globals) => {
                self.globals += globals.count();
                self.has_global_section = true;
            }
            Payload::ExportSection(exports) => {
                for export in exports.clone() {
                    self.read_export(&export?);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn read_export(&mut self, export: &Export<'_>) {
        let is_new = self.wrapper_of(export.index).is_none();
        if export.kind == ExternalKind::Func && is_called_amid_a_move(export.name) && is_new {
            let wrapper = self.functions.len() + self.wrapped.len();
            self.wrapped.push((export.index, u32::try_from(wrapper).unwrap_or(u32::MAX)));
        }
    }

    fn wrapper_of(&self, function: u32) -> Option<u32> {
        self.wrapped.iter().find(|(wrapped, _)| *wrapped == function).map(|(_, wrapper)| *wrapper)
    }

    /// The type of a function; a module that breaks the rules is refused when its component is validated.
    fn type_of(&self, function: u32) -> u32 {
        self.functions.get(function as usize).copied().unwrap_or_default()
    }

    /// Sets the global, calls the function with what the caller gave, clears the global.
    fn wrapper(&self, function: u32) -> Function {
        let parameters = self.types.get(self.type_of(function) as usize).map_or(0, |ty| ty.params().len());
        let mut body = Function::new([]);
        body.instructions().i32_const(1).global_set(self.globals);
        for parameter in 0..u32::try_from(parameters).unwrap_or_default() {
            body.instructions().local_get(parameter);
        }
        body.instructions().call(function).i32_const(0).global_set(self.globals).end();
        body
    }

    fn add_busy(globals: &mut GlobalSection) {
        let ty = GlobalType { val_type: ValType::I32, mutable: true, shared: false };
        globals.global(ty, &ConstExpr::i32_const(0));
    }
}

type Encoded = Result<(), Error<Infallible>>;

impl Reencode for Guard {
    type Error = Infallible;

    fn parse_function_section(&mut self, out: &mut FunctionSection, functions: FunctionSectionReader<'_>) -> Encoded {
        utils::parse_function_section(self, out, functions)?;
        for (function, _) in &self.wrapped {
            out.function(self.type_of(*function));
        }
        Ok(())
    }

    fn parse_global_section(&mut self, out: &mut GlobalSection, globals: GlobalSectionReader<'_>) -> Encoded {
        utils::parse_global_section(self, out, globals)?;
        Self::add_busy(out);
        Ok(())
    }

    fn intersperse_section_hook(&mut self, out: &mut Module, _: Option<SectionId>, next: Option<SectionId>) -> Encoded {
        if next == Some(SectionId::Export) && !self.has_global_section {
            let mut globals = GlobalSection::new();
            Self::add_busy(&mut globals);
            out.section(&globals);
        }
        Ok(())
    }

    fn parse_export_section(&mut self, out: &mut ExportSection, exports: ExportSectionReader<'_>) -> Encoded {
        for export in exports {
            let mut export = export?;
            if export.kind == ExternalKind::Func && is_called_amid_a_move(export.name) {
                export.index = self.wrapper_of(export.index).unwrap_or(export.index);
            }
            self.parse_export(out, export)?;
        }
        out.export(BUSY, ExportKind::Global, self.globals);
        Ok(())
    }

    fn parse_code_section(&mut self, out: &mut CodeSection, code: CodeSectionReader<'_>) -> Encoded {
        utils::parse_code_section(self, out, code)?;
        for (function, _) in &self.wrapped {
            out.function(&self.wrapper(*function));
        }
        Ok(())
    }

    /// No index changes, so no body does.
    fn parse_function_body(&mut self, out: &mut CodeSection, body: FunctionBody<'_>) -> Encoded {
        out.raw(body.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The exported functions of a guarded module, by name, and whether it is still valid.
    fn guarded_exports(text: &str) -> Vec<(String, u32)> {
        let module = guarded(&wat::parse_str(text).unwrap()).unwrap();
        wasmparser::Validator::new().validate_all(&module).unwrap();
        let mut exports = Vec::new();
        for payload in Parser::new(0).parse_all(&module) {
            if let Payload::ExportSection(section) = payload.unwrap() {
                exports.extend(section.into_iter().map(Result::unwrap).map(|one| (one.name.to_owned(), one.index)));
            }
        }
        exports
    }

    fn check(text: &str, expected: &[(&str, u32)]) {
        let expected: Vec<_> = expected.iter().map(|(name, index)| ((*name).to_owned(), *index)).collect();
        assert_eq!(guarded_exports(text), expected, "{text}");
    }

    #[test]
    fn what_the_host_calls_amid_a_move_is_wrapped_and_nothing_else() {
        check(
            r#"(module (import "a" "f" (func (param i32))) (global i32 (i32.const 1))
                (func (export "run")) (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                (func (export "cabi_post_run") (param i32)) (memory (export "memory") 1))"#,
            // One import and three functions come before the two wrappers.
            &[("run", 1), ("cabi_realloc", 4), ("cabi_post_run", 5), ("memory", 0), (BUSY, 1)],
        );
    }

    #[test]
    fn a_module_without_globals_gets_one() {
        check(r#"(module (func (export "cm32p2_realloc")))"#, &[("cm32p2_realloc", 1), (BUSY, 0)]);
        check(r#"(module (func (export "run")))"#, &[("run", 0), (BUSY, 0)]);
    }

    #[test]
    fn a_function_of_two_names_is_wrapped_once_and_only_under_those_that_need_it() {
        check(
            r#"(module (func $f (export "cabi_post_a") (export "cabi_post_b") (export "run")))"#,
            &[("cabi_post_a", 1), ("cabi_post_b", 1), ("run", 0), (BUSY, 0)],
        );
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let module = wat::parse_str(r#"(module (func (export "run")) (global i32 (i32.const 1)))"#).unwrap();
        for end in 9..module.len() {
            let cut = module.get(..end).unwrap();
            // Some cuts fall between two sections, and leave a module of fewer; none panics.
            drop(is_imported(cut).and_then(|_| guarded(cut)));
        }
        assert!(guarded(module.get(..module.len() - 1).unwrap()).is_err());
    }
}
