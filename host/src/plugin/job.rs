//! Runs a policy's scheduled jobs, each on an instance of its own.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Phase;
use super::bindings::gatewright::policy::types;
use super::called::failed;
use super::policy::Policy;
use super::sandbox::Sandbox;
use crate::error::{Error, Reason};

impl Policy {
    /// Runs one job, within a deadline, on a thread that gives way to those that serve.
    ///
    /// # Errors
    /// Why it failed.
    pub async fn run_job(self: &Arc<Self>, job: &str, deadline: Duration) -> Result<(), Error> {
        let (policy, job) = (self.clone(), job.to_owned());
        let run = move || async move { policy.run_job_here(job, deadline).await };
        let ran = self.engine.lane().run(run).await;
        ran.unwrap_or_else(|| Err(Error::new(Reason::Internal, "the thread of a job is gone")))
    }

    async fn run_job_here(&self, job: String, deadline: Duration) -> Result<(), Error> {
        let Some(measured) = self.measured(Phase::OnSchedule) else {
            return Err(Error::new(Reason::Internal, "the phase is not exported"));
        };
        let mut call = self.new_call();
        call.is_job = true;
        let mut sandbox = Sandbox::new(&self.engine, call, true);
        sandbox.limit(deadline, true);
        let start = Instant::now();
        let parameters = (job,);
        let result = sandbox
            .within(deadline, async |sandbox| {
                self.call::<_, (Result<(), types::Failure>,)>(sandbox, Phase::OnSchedule, parameters).await
            })
            .await;
        measured.seconds.observe(start.elapsed().as_secs_f64());
        let call = sandbox.store.data();
        call.log_output();
        if let Err(error) = &result {
            self.note(call.explain(error).reason, measured.returned.get());
        }
        let result = match result {
            Ok((Ok(()),)) => Ok(()),
            Ok((Err(failure),)) => Err(failed(&self.name, &failure)),
            Err(error) => Err(call.explain(&error)),
        };
        match &result {
            Ok(()) => drop(measured.returned.inc()),
            Err(_) => {
                let labels = self.labels(Phase::OnSchedule, "failed");
                self.services.metrics.policy_calls.get_or_create(&labels).inc();
            }
        }
        result
    }
}
