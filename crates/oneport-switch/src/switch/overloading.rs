//! What the switch does about its load: new calls are refused while there is more than it can do in time.

use oneport::Workload;
use oneport_proto::{CallId, Endpoint, Instant, Offer};
use oneport_wire::CauseCode;

use super::snapshot::LoadFigures;
use super::{Life, Switch, dialling};
use crate::news::What;
use crate::overload::{Change, Finding, Measure};
use crate::refusal::{Reason, Stage};
use crate::sip::settings::REPLACES;

/// What a caller is told: switching equipment congestion, by which it tries its next line.
const OVERLOADED: CauseCode = CauseCode::SWITCH_CONGESTION;

/// Why a call is refused.
fn reason(finding: &Finding) -> Reason {
    let measure = finding.measure;
    Reason::new(Stage::Limit, "overload", format!("overload: {finding}"))
        .decided_by(measure.key(), finding.value())
        .fix(measure.remedy())
}

impl Switch {
    /// A sample of the load of the media thread.
    pub(super) fn loaded(&mut self, workload: &Workload) {
        let Some(change) = self.overload.take(&self.config.overload, workload) else { return };
        let (refusing, why) = match change {
            Change::Refusing(finding) => {
                let (calls, remedy) = (self.count_calls(), finding.measure.remedy());
                tracing::warn!(
                    "overload: {finding}: new calls are refused, {OVERLOADED}; {calls} are up; \
                     {remedy}"
                );
                (true, finding.to_string())
            }
            Change::Taking(refused) => {
                tracing::warn!("no overload any more: calls are taken; {refused} were refused");
                (false, format!("{refused} calls were refused"))
            }
        };
        self.news.tell(|| What::Overload { refusing, why });
    }

    /// That there is too much to do, and how that was measured.
    fn finding(&self) -> Option<Finding> {
        self.overload.finding(&self.config.overload)
    }

    /// Why new calls are refused: as there is more to do than can be done in time. Where no more legs are
    /// up than the `own` ones of whoever asks, there is no call to be protected.
    pub(super) fn overloaded(&self, own: usize) -> Option<Finding> {
        let finding = self.finding()?;
        (self.legs.len() > own).then_some(finding)
    }

    /// What metrics tell of the load.
    pub(super) fn load_figures(&self) -> LoadFigures {
        let overload = &self.overload;
        let share = |measure| overload.value(measure).map(|percent| percent / 100.0);
        LoadFigures {
            overloaded: self.finding().is_some(),
            refused: Measure::ALL.map(|measure| (measure, overload.refused_for(measure))),
            quota: share(Measure::Quota),
            cpu: share(Measure::Cpu),
            delay: overload.value(Measure::Delay).map(|ms| ms / 1e3),
        }
    }

    /// Why new calls are refused, for whatever reason, in a sentence.
    pub(crate) fn why_refusing(&self) -> Option<String> {
        if self.life() != Life::Serving {
            return Some("this switch is being drained".into());
        }
        self.overloaded(0).map(|finding| format!("overload: {finding}"))
    }

    /// The reason to give where a call is not to begin now; it is counted as refused. `own`: the legs that
    /// it has already.
    pub(super) fn refused_by_overload(&mut self, own: usize) -> Option<Reason> {
        let finding = self.overloaded(own)?;
        self.overload.refused(finding.measure);
        Some(reason(&finding))
    }

    /// Refuses a call that has just come, before anybody has to prove anything, since a refusal is to cost
    /// little; whether it does. What may be an emergency, or another end of a call that is up, goes on
    /// until that is known ([`refuse_overloaded_late`](Self::refuse_overloaded_late)).
    pub(super) fn refuse_overloaded(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
        offer: &Offer,
    ) -> bool {
        if self.overloaded(0).is_none() {
            return false;
        }
        let number = offer.called_number.as_str();
        let may_be_emergency = self
            .config
            .routes
            .iter()
            .any(|route| route.emergency && route.pattern.groups(number).is_some());
        // It says its number later.
        let may_be_emergency = may_be_emergency || number == dialling::TO_BE_DIALLED;
        let replaces = offer.variables.iter().any(|(name, _)| name == REPLACES);
        if may_be_emergency || replaces {
            return false;
        }
        let Some(reason) = self.refused_by_overload(0) else { return false };
        let why = reason.to_string();
        self.book.refused_for(now, call, OVERLOADED, reason);
        let who = offer.username.as_deref().unwrap_or("guest");
        let from = offer.path.remote;
        // The log has told of the first. A line for each would be more work, where there is too much.
        tracing::debug!("{call}: {who} ({from}) to {number}: refused, {OVERLOADED}: {why}");
        let _ = endpoint.reject(now, call, OVERLOADED, Some(&why));
        true
    }

    /// Refuses a call of which it is known now that it is neither an emergency nor another end of one
    /// that is up; whether it does.
    pub(super) fn refuse_overloaded_late(
        &mut self,
        endpoint: &mut Endpoint,
        now: Instant,
        call: CallId,
    ) -> bool {
        let Some(reason) = self.refused_by_overload(1) else { return false };
        let why = reason.to_string();
        self.book.because(now, call, reason);
        self.tell_refusal(now, call, OVERLOADED, &why);
        self.end_untaken(endpoint, now, call, OVERLOADED, Some(&why));
        true
    }
}
