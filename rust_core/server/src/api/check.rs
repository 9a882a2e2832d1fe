//! Reads of what can be promised.

use bespeak_engine::{RuleOverride, State};
use bespeak_proto::v1 as pb;

use super::Api;
use crate::convert::{check, fields, hold, line_count};
use crate::error::ApiError;
use crate::store::Seen;

impl Api {
    /// What is available when.
    pub fn check(&self, mut request: pb::CheckRequest) -> Seen<pb::CheckResponse> {
        let rule = match Self::check_head(&request) {
            Ok(rule) => rule,
            Err(error) => return Seen::failed(error),
        };
        self.store.read(|state| {
            if rule.is_some() {
                Self::check_budget(state, &request, rule)?;
            }
            let mut results = Vec::with_capacity(request.lines.len());
            for (index, line) in request.lines.iter_mut().enumerate() {
                let answer = check::answer(state, line, rule, request.with_staircase);
                results.push(answer.map_err(|error| error.inside("lines", index))?);
            }
            Ok(pb::CheckResponse {
                results,
                revision: state.revision(),
                engine_time_ms: state.now().get(),
            })
        })
    }

    /// A rule of the request's own makes a check walk all that is planned: it is told beforehand whether that is too
    /// much.
    fn check_budget(
        state: &State,
        request: &pb::CheckRequest,
        rule: Option<RuleOverride>,
    ) -> Result<(), ApiError> {
        let lines = request.lines.iter().enumerate().map(|(index, line)| {
            check::check_line(state.catalog(), line, rule)
                .map_err(|error| error.inside("lines", index))
        });
        let lines = lines.collect::<Result<Vec<_>, _>>()?;
        Ok(state.check_budget(&lines, request.with_staircase)?)
    }

    fn check_head(request: &pb::CheckRequest) -> Result<Option<RuleOverride>, ApiError> {
        fields::later("confidence", request.confidence != 0.0)?;
        fields::later("segment", !request.segment.is_empty())?;
        fields::later("capable_to_promise", request.capable_to_promise)?;
        line_count(request.lines.len())?;
        hold::rule(request.rule.as_ref())
    }
}
