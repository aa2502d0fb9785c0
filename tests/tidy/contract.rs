//! The contract is documented, each thing in it.

use wit_parser::{Docs, Resolve, TypeDefKind, WorldItem};

use super::repository;

/// Whether there is a first line that says something.
fn says_something(docs: &Docs) -> bool {
    docs.contents.as_deref().is_some_and(|text| text.trim().len() > 3)
}

/// Parts of a type, documented all or none: where one has words, the others need them too.
fn parts_without_words<'a>(parts: impl Iterator<Item = (&'a String, &'a Docs)>) -> Vec<&'a String> {
    let parts: Vec<_> = parts.collect();
    let has_some = parts.iter().any(|(_, docs)| says_something(docs));
    parts.into_iter().filter(|(_, docs)| has_some && !says_something(docs)).map(|(name, _)| name).collect()
}

#[test]
fn every_item_of_the_contract_is_documented() {
    let mut resolve = Resolve::default();
    resolve.push_dir(repository().join("wit")).unwrap();
    let (mut items, mut without) = (0, Vec::new());
    let mut look = |name: String, docs: &Docs| {
        items += 1;
        if !says_something(docs) {
            without.push(name);
        }
    };
    for (_, interface) in resolve.interfaces.iter() {
        let interface_name = interface.name.clone().unwrap();
        look(interface_name.clone(), &interface.docs);
        for (name, function) in &interface.functions {
            look(format!("{interface_name}.{name}"), &function.docs);
        }
        for (name, id) in &interface.types {
            let definition = &resolve.types[*id];
            if matches!(definition.kind, TypeDefKind::Type(_)) && !says_something(&definition.docs) {
                // A name that `use` brought in is documented where it is from.
                continue;
            }
            look(format!("{interface_name}.{name}"), &definition.docs);
        }
    }
    for (_, world) in resolve.worlds.iter() {
        look(format!("world {}", world.name), &world.docs);
        assert!(world.imports.values().all(|item| matches!(item, WorldItem::Interface { .. })), "{}", world.name);
    }
    assert!(items > 110, "{items}");
    assert!(without.is_empty(), "no words on {without:?}");
}

#[test]
fn the_fields_and_cases_of_a_type_are_documented_together() {
    let mut resolve = Resolve::default();
    resolve.push_dir(repository().join("wit")).unwrap();
    let mut parts = 0;
    for (_, definition) in resolve.types.iter() {
        let without = match &definition.kind {
            TypeDefKind::Record(record) => {
                parts += record.fields.len();
                parts_without_words(record.fields.iter().map(|field| (&field.name, &field.docs)))
            }
            TypeDefKind::Variant(variant) => {
                parts += variant.cases.len();
                parts_without_words(variant.cases.iter().map(|case| (&case.name, &case.docs)))
            }
            TypeDefKind::Enum(all) => {
                parts += all.cases.len();
                parts_without_words(all.cases.iter().map(|case| (&case.name, &case.docs)))
            }
            _ => Vec::new(),
        };
        assert!(without.is_empty(), "{:?}: no words on {without:?}", definition.name);
    }
    assert!(parts > 60, "{parts}");
}
