//! What a policy may use: its grants and limits, and the powers that are linked to it.

use std::time::Duration;

use wasmtime::component::{HasData, Linker};

use super::Phase;
use super::bindings::gatewright::policy::{clock, crypto, http, kv, limits, log, metrics, secrets, types};
use super::call::Call;
use super::engine::{Engine, MEMORY_MAX};
use super::package::Facts;
use crate::config::PolicyConfig;

/// Faults, each with a pointer into the policy.
pub(super) fn check_grants(config: &PolicyConfig, facts: &Facts) -> Vec<(String, String)> {
    let grants = &config.grants;
    let mut faults = Vec::new();
    for power in &facts.powers {
        let (granted, how) = match power.as_str() {
            "limits" => (grants.limits, "limits: true"),
            "kv" => (!grants.kv.is_empty(), "kv: [NAME]"),
            "crypto" => (grants.crypto, "crypto: true"),
            "http" => (!grants.http.is_empty(), "http: [UPSTREAM]"),
            // `crypto` and `http` name the type of a secret, so that a policy that only hashes imports `secrets` as well.
            "secrets" => {
                let names = [&grants.secrets, &grants.reveal, &grants.http];
                (grants.crypto || names.iter().any(|names| !names.is_empty()), "secrets: [NAME]")
            }
            _ => (true, ""),
        };
        if !granted {
            let message =
                format!("plugin {:?} uses {power}, which is not granted: add `grants: {{ {how} }}`", config.plugin);
            faults.push(("/grants".to_owned(), message));
        }
    }
    faults
}

/// Faults, each with a pointer into the policy.
pub(super) fn check_limits(config: &PolicyConfig) -> Vec<(String, String)> {
    let limits = &config.limits;
    let mut faults = Vec::new();
    let fits = |deadline: Duration| (Duration::from_millis(1)..=Duration::from_secs(10)).contains(&deadline);
    for (at, deadline) in [("deadline", limits.deadline), ("body_deadline", limits.body_deadline)] {
        if !fits(deadline.0) {
            faults.push((format!("/limits/{at}"), format!("{at} must be from 1ms to 10s")));
        }
    }
    if limits.memory.as_usize() > MEMORY_MAX {
        faults.push(("/limits/memory".to_owned(), format!("memory must be at most {}MiB", MEMORY_MAX >> 20)));
    }
    if !(Duration::from_millis(1)..=Duration::from_secs(60)).contains(&limits.http_timeout.0) {
        faults.push(("/limits/http_timeout".to_owned(), "http_timeout must be from 1ms to 60s".to_owned()));
    }
    if limits.http_response.0 > RESPONSE_MAX {
        let message = format!("http_response must be at most {}MiB", RESPONSE_MAX >> 20);
        faults.push(("/limits/http_response".to_owned(), message));
    }
    faults
}

/// Faults, each with a pointer into the policy.
pub(super) fn check_schedule(config: &PolicyConfig, facts: &Facts) -> Vec<(String, String)> {
    let mut faults = Vec::new();
    let mut fault = |at: String, message: &str| faults.push((at, message.to_owned()));
    let exported = facts.has(Phase::OnSchedule);
    if !exported && !config.schedule.is_empty() {
        let message = format!("plugin {:?} exports no on-schedule: remove `schedule`", config.plugin);
        fault("/schedule".to_owned(), &message);
    }
    if exported && config.schedule.is_empty() {
        tracing::warn!(
            plugin = config.plugin,
            "exports on-schedule, and its policy has no `schedule`: no job will run"
        );
    }
    if config.schedule.len() > JOBS_MAX {
        fault("/schedule".to_owned(), &format!("a policy may have at most {JOBS_MAX} jobs"));
    }
    let minute = Duration::from_mins(1);
    for (index, job) in config.schedule.iter().enumerate() {
        let at = |field: &str| format!("/schedule/{index}/{field}");
        if !(1..=JOB_NAME_MAX).contains(&job.job.len()) {
            fault(at("job"), &format!("a job's name is of 1 to {JOB_NAME_MAX} bytes"));
        }
        if config.schedule.iter().take(index).any(|earlier| earlier.job == job.job) {
            fault(at("job"), &format!("job {:?} is here twice", job.job));
        }
        if !(Duration::from_secs(1)..=24 * 60 * minute).contains(&job.every.0) {
            fault(at("every"), "every must be from 1s to 24h");
        }
        if !(Duration::from_millis(1)..=minute).contains(&job.deadline.0) {
            fault(at("deadline"), "deadline must be from 1ms to 1m");
        }
    }
    faults
}

const JOBS_MAX: usize = 16;
const JOB_NAME_MAX: usize = 64;

/// Bytes of a response that a policy asks for itself.
const RESPONSE_MAX: u64 = 16 << 20;

struct HasCall;

impl HasData for HasCall {
    type Data<'a> = &'a mut Call;
}

/// Links exactly the powers that the plugin imports, which are granted.
pub(super) fn linker(engine: &Engine, facts: &Facts) -> wasmtime::Result<Linker<Call>> {
    let mut linker = Linker::new(&engine.0);
    types::add_to_linker::<_, HasCall>(&mut linker, |call| call)?;
    for power in &facts.powers {
        match power.as_str() {
            "log" => log::add_to_linker::<_, HasCall>(&mut linker, |call| call)?,
            "clock" => clock::add_to_linker::<_, HasCall>(&mut linker, |call| call)?,
            "metrics" => metrics::add_to_linker::<_, HasCall>(&mut linker, |call| call)?,
            "limits" => limits::add_to_linker::<_, HasCall>(&mut linker, |call| call)?,
            "http" => http::add_to_linker::<_, HasCall>(&mut linker, |call| call)?,
            "kv" => kv::add_to_linker::<_, HasCall>(&mut linker, |call| call)?,
            "secrets" => secrets::add_to_linker::<_, HasCall>(&mut linker, |call| call)?,
            "crypto" => crypto::add_to_linker::<_, HasCall>(&mut linker, |call| call)?,
            _ => {}
        }
    }
    if facts.wasi {
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    }
    Ok(linker)
}
