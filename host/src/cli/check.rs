//! `gatewright check`: proves a configuration without serving it.

use std::sync::Arc;

use serde_json::json;

use super::{CheckArgs, Format, print, print_error};
use crate::config::Environment;
use crate::plugin::{Compiler, Engine};
use crate::reload::Loader;
use crate::services::LimitStore;
use crate::snapshot::Shared;
use crate::telemetry::Metrics;

/// Faults in the configuration.
pub(super) const FAULTY: u8 = 2;

pub(super) fn check(args: &CheckArgs, environment: Environment) -> anyhow::Result<u8> {
    let shared = Shared {
        compiler: Arc::new(Compiler::new(Engine::for_preparing()?, args.config.cache(&environment), Vec::new())),
        metrics: Arc::new(Metrics::default()),
        limits: Arc::new(LimitStore::default()),
    };
    let loaded = Loader::new(args.config.source(environment)).load(None, &shared);
    match (&loaded.result, args.format) {
        (Ok(Some(snapshot)), Format::Text) => {
            for (name, error) in &loaded.broken {
                print_error(&format!("warning: plugin {name:?} is not used and cannot be: {error}"));
            }
            print(&format!(
                "{} is good: {} listeners, {} routes, {} upstreams, {} policies, {} plugins",
                args.config.config.display(),
                snapshot.listeners.len(),
                snapshot.routes.iter().count(),
                snapshot.upstreams.len(),
                snapshot.policies.len(),
                snapshot.plugins.len(),
            ))
        }
        (Ok(_), _) => print(&json!({ "good": true, "faults": [] }).to_string()),
        (Err(faults), Format::Json) => print(&json!({ "good": false, "faults": faults }).to_string()).map(|_| FAULTY),
        (Err(faults), Format::Text) => {
            let count = faults.0.len();
            let noun = if count == 1 { "fault" } else { "faults" };
            print_error(&format!("{faults}\n{count} {noun}"));
            Ok(FAULTY)
        }
    }
}
