//! `gatewright inspect`: what a plugin is.

use std::sync::Arc;

use anyhow::Context;
use serde_json::json;

use super::{Format, InspectArgs, print};
use crate::plugin::{Engine, Plugin, Policy};

pub(super) fn inspect(args: &InspectArgs) -> anyhow::Result<u8> {
    let file = args.file.display();
    let bytes = std::fs::read(&args.file).with_context(|| format!("read {file}"))?;
    let name = args.file.file_stem().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let engine = Engine::start()?;
    let plugin = Arc::new(Plugin::compile(&engine, &name, &bytes).with_context(|| file.to_string())?);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let description = runtime.block_on(Policy::describe(plugin.clone())).with_context(|| file.to_string())?;
    if args.format == Format::Json {
        return print(&format!(
            "{:#}",
            json!({
                "name": plugin.name, "hash": plugin.hash, "size": plugin.size, "phases": plugin.phases,
                "powers": plugin.powers, "wasi": plugin.wasi, "attributes": description.attributes,
                "config_schema": description.config_schema,
            })
        ));
    }
    let phases: Vec<&str> = plugin.phases.iter().map(|phase| phase.name()).collect();
    let mut text = format!(
        "name    {}\nsize    {} bytes\nsha256  {}\nphases  {}\npowers  {}\nwasi    {}\n",
        plugin.name,
        plugin.size,
        plugin.hash,
        phases.join(", "),
        plugin.powers.join(", "),
        if plugin.wasi { "yes" } else { "no" },
    );
    for (name, value) in &description.attributes {
        text.push_str(&format!("{name:7} {value}\n"));
    }
    text.push_str(&format!("configuration:\n{:#}", description.config_schema));
    print(&text)
}
