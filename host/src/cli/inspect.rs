//! `gatewright inspect`: what a plugin is.

use anyhow::Context;
use serde_json::json;

use super::{Format, InspectArgs, print};
use crate::config::CompilerConfig;
use crate::plugin::{Compiler, Engine, hash_of};

pub(super) fn inspect(args: &InspectArgs) -> anyhow::Result<u8> {
    let file = args.file.display();
    let bytes = std::fs::read(&args.file).with_context(|| format!("read {file}"))?;
    let name = args.file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let compiler = Compiler::new(Engine::for_preparing()?, None, Vec::new());
    let looked_at = compiler.describe(&name, &bytes, &CompilerConfig::default());
    let (facts, description) = looked_at.with_context(|| file.to_string())?;
    let (hash, size) = (hash_of(&bytes), bytes.len());
    if args.format == Format::Json {
        return print(&format!(
            "{:#}",
            json!({
                "name": name, "hash": hash, "size": size, "phases": facts.phases,
                "powers": facts.powers, "wasi": facts.wasi, "component": facts.component, "attributes": description.attributes,
                "config_schema": description.config_schema,
            })
        ));
    }
    if facts.component {
        let text = format!("name    {name}\nsize    {size} bytes\nsha256  {hash}\nserves  as an upstream (wasi:http)");
        return print(&text);
    }
    let phases: Vec<&str> = facts.phases.iter().map(|phase| phase.name()).collect();
    let mut text = format!(
        "name    {name}\nsize    {size} bytes\nsha256  {hash}\nphases  {}\npowers  {}\nwasi    {}\n",
        phases.join(", "),
        facts.powers.join(", "),
        if facts.wasi { "yes" } else { "no" },
    );
    for (name, value) in &description.attributes {
        text.push_str(&format!("{name:7} {value}\n"));
    }
    text.push_str(&format!("configuration:\n{:#}", description.config_schema));
    print(&text)
}
