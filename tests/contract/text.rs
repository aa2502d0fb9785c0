//! What a version of the contract says, as lines that can be compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use wit_parser::{Function, Handle, Resolve, SourceMap, Type, TypeDefKind, TypeId, WorldItem, WorldKey};

/// What a version of the contract says.
pub(super) struct Contract {
    /// Functions and types, each by its name with its interface.
    items: BTreeMap<String, String>,
    /// The items of each interface that guests implement.
    exported: BTreeMap<String, BTreeSet<String>>,
    /// What each world imports and exports.
    worlds: BTreeMap<String, (BTreeSet<String>, BTreeSet<String>)>,
}

impl Contract {
    /// Of a folder.
    pub(super) fn read(folder: &Path) -> Self {
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let texts = files.filter(|path| path.extension().is_some_and(|extension| extension == "wit"));
        Self::of(
            &texts
                .map(|path| (path.display().to_string(), std::fs::read_to_string(&path).unwrap()))
                .collect::<Vec<_>>(),
        )
    }

    /// Of the files of the package.
    pub(super) fn of(files: &[(String, String)]) -> Self {
        let mut sources = SourceMap::default();
        for (name, text) in files {
            sources.push_str(name, text);
        }
        let group = sources.parse().unwrap_or_else(|(_, error)| panic!("{error:?}"));
        let mut resolve = Resolve::default();
        resolve.push_group(group).unwrap();
        let mut contract = Self { items: BTreeMap::new(), exported: BTreeMap::new(), worlds: BTreeMap::new() };
        contract.add_interfaces(&resolve);
        contract.add_worlds(&resolve);
        contract
    }

    fn add_interfaces(&mut self, resolve: &Resolve) {
        for (_, interface) in resolve.interfaces.iter() {
            let name = interface.name.as_deref().unwrap();
            for (function, definition) in &interface.functions {
                self.items.insert(format!("{name}.{function}"), signature(resolve, definition));
            }
            for (ty, id) in &interface.types {
                self.items.insert(format!("{name}.{ty}"), definition(resolve, *id));
            }
        }
    }

    fn add_worlds(&mut self, resolve: &Resolve) {
        let name_of = |key: &WorldKey, item: &WorldItem| match (key, item) {
            (_, WorldItem::Interface { id, .. }) => resolve.interfaces[*id].name.clone().unwrap(),
            (key, _) => format!("{key:?}"),
        };
        for (_, world) in resolve.worlds.iter() {
            let imports = world.imports.iter().map(|(key, item)| name_of(key, item)).collect();
            let exports: BTreeSet<String> = world.exports.iter().map(|(key, item)| name_of(key, item)).collect();
            for interface in &exports {
                let of = format!("{interface}.");
                let items = self.items.keys().filter(|name| name.starts_with(&of)).cloned().collect();
                self.exported.insert(interface.clone(), items);
            }
            self.worlds.insert(world.name.clone(), (imports, exports));
        }
    }

    /// How many things it says.
    pub(super) fn said(&self) -> usize {
        self.items.len()
    }

    /// What an earlier version says that this one does not.
    pub(super) fn breaks(&self, earlier: &Self) -> Vec<String> {
        let mut broken = Vec::new();
        for (name, said) in &earlier.items {
            match self.items.get(name) {
                None => broken.push(format!("{name} is gone")),
                Some(now) if now != said => broken.push(format!("{name} is {now}, and was {said}")),
                Some(_) => {}
            }
        }
        // A guest that exports less than the interface has does not link.
        for (interface, items) in &earlier.exported {
            if self.exported.get(interface).is_some_and(|now| now != items) {
                broken.push(format!("{interface} is implemented by guests, and has other items than it had"));
            }
        }
        for (world, (imports, exports)) in &earlier.worlds {
            match self.worlds.get(world) {
                Some((now_imports, now_exports)) if now_imports.is_superset(imports) && now_exports == exports => {}
                Some(_) => broken.push(format!("world {world} imports less or exports other than it did")),
                None => broken.push(format!("world {world} is gone")),
            }
        }
        broken
    }
}

fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters: Vec<String> = function
        .params
        .iter()
        .map(|parameter| format!("{}: {}", parameter.name, name(resolve, &parameter.ty)))
        .collect();
    let result = function.result.as_ref().map(|ty| name(resolve, ty));
    format!("func({}) -> {}", parameters.join(", "), result.unwrap_or_default())
}

/// What a named type is.
fn definition(resolve: &Resolve, id: TypeId) -> String {
    let optional = |ty: &Option<Type>| ty.as_ref().map(|ty| name(resolve, ty)).unwrap_or_default();
    match &resolve.types[id].kind {
        TypeDefKind::Record(record) => {
            let fields = record.fields.iter().map(|field| format!("{}: {}", field.name, name(resolve, &field.ty)));
            format!("record {{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Variant(variant) => {
            let cases = variant.cases.iter().map(|case| format!("{}({})", case.name, optional(&case.ty)));
            format!("variant {{ {} }}", cases.collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Enum(all) => {
            format!("enum {{ {} }}", all.cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Flags(all) => {
            format!("flags {{ {} }}", all.flags.iter().map(|flag| flag.name.as_str()).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Resource => "resource".to_owned(),
        _ => anonymous(resolve, id),
    }
}

/// What a type without a name of its own is.
fn anonymous(resolve: &Resolve, id: TypeId) -> String {
    let optional = |ty: &Option<Type>| ty.as_ref().map(|ty| name(resolve, ty)).unwrap_or_default();
    match &resolve.types[id].kind {
        TypeDefKind::Handle(Handle::Own(id)) => format!("own<{}>", name(resolve, &Type::Id(*id))),
        TypeDefKind::Handle(Handle::Borrow(id)) => format!("borrow<{}>", name(resolve, &Type::Id(*id))),
        TypeDefKind::Tuple(tuple) => {
            format!("tuple<{}>", tuple.types.iter().map(|ty| name(resolve, ty)).collect::<Vec<_>>().join(", "))
        }
        TypeDefKind::Option(ty) => format!("option<{}>", name(resolve, ty)),
        TypeDefKind::List(ty) => format!("list<{}>", name(resolve, ty)),
        TypeDefKind::Result(result) => format!("result<{}, {}>", optional(&result.ok), optional(&result.err)),
        TypeDefKind::Type(ty) => name(resolve, ty),
        other => panic!("the contract has no {}", other.as_str()),
    }
}

/// How a type is referred to.
fn name(resolve: &Resolve, ty: &Type) -> String {
    match ty {
        Type::Id(id) => match &resolve.types[*id].name {
            Some(name) => name.clone(),
            None => anonymous(resolve, *id),
        },
        simple => format!("{simple:?}").to_lowercase(),
    }
}
