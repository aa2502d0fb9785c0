//! A named, configured use of a plugin: proved at load time, called in a sandbox.

use std::fmt;
use std::sync::Arc;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::histogram::Histogram;

use super::compiler::Compiler;
use super::grants::{check_grants, check_limits, check_schedule};
use super::health::Faults;
use super::idle::IdlePool;
use super::pace::Pace;
use super::package::{Description, SharedPlugin};
use super::prepared::{Preparation, Prepared};
use super::{Engine, Phase};
use crate::config::{FailureMode, Isolation, PluginsConfig, PolicyConfig, QuarantineConfig};
use crate::services::Services;
use crate::telemetry::CallLabels;

/// A named, configured use of a plugin.
pub struct Policy {
    /// Tells its state in an exchange apart from that of others.
    pub id: u32,
    /// Its name.
    pub name: Arc<str>,
    /// As configured.
    pub config: PolicyConfig,
    /// Its plugin.
    pub plugin: SharedPlugin,
    pub(super) engine: Engine,
    pub(super) services: Arc<Services>,
    pub(super) prepared: Arc<Prepared>,
    /// What `configure` gets where there is no image.
    pub(super) config_text: String,
    /// Instances between calls.
    pub(super) idle: IdlePool,
    pub(super) keeping: Keeping,
    pub(super) quarantine: QuarantineConfig,
    pub(super) faults: Faults,
    pub(super) pace: Pace,
    phases: [Option<Measured>; Phase::ALL.len()],
}

/// What becomes of an instance after a call that ended well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keeping {
    /// It is dropped.
    Never,
    /// It is put back to its beginning, and serves a later call as if it were new.
    Reset,
    /// It serves a later call as it is.
    Warm,
}

/// The metrics of an exported phase.
pub(super) struct Measured {
    pub(super) seconds: Histogram,
    pub(super) returned: Counter,
}

impl Policy {
    /// Proves that a plugin works with a configuration: it links with what is granted, its schema and its own check
    /// accept the configuration, and an instance can be configured.
    ///
    /// # Errors
    /// Every fault, with a pointer into the policy.
    pub fn build(
        id: u32,
        config: &PolicyConfig,
        plugin: SharedPlugin,
        services: Arc<Services>,
        (compiler, plugins): (&Compiler, &PluginsConfig),
    ) -> Result<Self, Vec<(String, String)>> {
        let mut faults = check_grants(config, &plugin.facts);
        faults.extend(check_limits(config));
        faults.extend(check_schedule(config, &plugin.facts));
        if !faults.is_empty() {
            return Err(faults);
        }
        let prepared = compiler.prepare(&plugin, (&services.policy, config), &plugins.compiler)?;
        let phases = Phase::ALL.map(|phase| plugin.facts.has(phase).then(|| Measured::new(&services, phase)));
        let keeping = match config.isolation {
            Isolation::Warm => Keeping::Warm,
            Isolation::Fresh if prepared.resets.is_empty() => Keeping::Never,
            Isolation::Fresh => Keeping::Reset,
        };
        let (idle, pace) = (IdlePool::new(plugin.facts.waits()), Pace::new(plugin.facts.waits()));
        Ok(Self {
            id,
            name: services.policy.clone(),
            config: config.clone(),
            plugin,
            engine: compiler.engine().clone(),
            services,
            prepared,
            config_text: config.config.to_string(),
            idle,
            keeping,
            quarantine: plugins.quarantine.clone(),
            faults: Faults::default(),
            pace,
            phases,
        })
    }

    /// What its plugin says of itself.
    #[must_use]
    pub fn description(&self) -> &Description {
        &self.prepared.description
    }

    /// How its instances get their configuration.
    #[must_use]
    pub fn preparation(&self) -> &Preparation {
        &self.prepared.preparation
    }

    /// Whether it takes part in a phase.
    #[must_use]
    pub fn has(&self, phase: Phase) -> bool {
        self.measured(phase).is_some()
    }

    pub(super) fn measured(&self, phase: Phase) -> Option<&Measured> {
        self.phases.get(phase as usize)?.as_ref()
    }

    /// Whether its calls take so long that they run aside.
    #[must_use]
    pub fn is_slow(&self) -> bool {
        self.pace.is_slow()
    }

    /// Whether a failure of this policy lets the exchange go on.
    #[must_use]
    pub fn fails_open(&self) -> bool {
        self.config.on_failure == FailureMode::Open
    }

    pub(super) fn labels(&self, phase: Phase, outcome: &'static str) -> CallLabels {
        CallLabels { policy: self.name.to_string(), phase: phase.name(), outcome }
    }
}

impl Measured {
    fn new(services: &Services, phase: Phase) -> Self {
        let labels = |outcome| CallLabels { policy: services.policy.to_string(), phase: phase.name(), outcome };
        Self {
            seconds: services.metrics.policy_seconds.get_or_create_owned(&labels("")),
            returned: services.metrics.policy_calls.get_or_create_owned(&labels("returned")),
        }
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Policy").field("name", &self.name).field("plugin", &self.plugin).finish_non_exhaustive()
    }
}
