//! The course of a request: read, judged by hooks, served, answered; parked in between.

use super::{Answer, Context, Core, Origin, Outcome};
use crate::mock::api::{self, Api, Pending};
use crate::mock::bend::{Bend, Ending, joined, misnamed};
use crate::mock::brokers::Process;
use crate::mock::hooks::{Action, Call, When};
use crate::mock::quotas::Direction;
use crate::mock::touched::touches;
use bytes::Bytes;
use kafka_protocol::protocol::decode_request_header_from_buffer;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What a connection is parked on.
#[derive(Debug)]
pub(super) enum Job {
    /// What came in while the broker is paused.
    Unread(Bytes),
    /// A request that a hook holds back.
    Request(Bytes, Context),
    /// A request that is not answered yet.
    Wait(Pending, Context, Option<Action>),
    /// What came in before the time was over that a quota ordered.
    Muted(Bytes),
    /// An answer that a hook holds back.
    Reply(Bytes),
}

impl Core {
    /// Takes a request's frame, its length taken off.
    pub(crate) fn handle(&mut self, now: Instant, origin: Origin, frame: Bytes) -> Outcome {
        let now = self.tick(now);
        self.served = origin.connection;
        self.keep_retention(now);
        match self.process_of(origin.broker) {
            Process::Running => self.read(now, origin, frame),
            Process::Paused => self.park(now + LONG, origin, Job::Unread(frame)),
            Process::Down => Outcome::Close,
        }
    }

    fn read(&mut self, now: Instant, origin: Origin, frame: Bytes) -> Outcome {
        if let Some(until) = self.muted.remove(&origin.connection).filter(|until| now < *until) {
            return self.park(until, origin, Job::Muted(frame));
        }
        let request_bytes = frame.len();
        let mut body = frame;
        if body.len() < 8 {
            return Outcome::Close;
        }
        let Ok(header) = decode_request_header_from_buffer(&mut body) else { return Outcome::Close };
        let Some(api) = Api::from_number(header.request_api_key) else { return Outcome::Close };
        #[cfg(feature = "sasl")]
        if !self.sasl.admits(origin.connection, api, now) {
            return Outcome::Close;
        }
        *self.requests.entry(api).or_default() += 1;
        let call = Call {
            api,
            version: header.request_api_version,
            broker: origin.broker,
            connection: origin.connection,
            client_id: header.client_id.as_ref().map(ToString::to_string),
            body: body.clone(),
        };
        let (topics, sessions) = (&self.topics, &self.sessions);
        let action = self.hooks.judge(&call, |topic, index| touches(topics, sessions, &call, topic, index));
        let mut context = Context {
            now,
            origin,
            api,
            version: header.request_api_version,
            correlation_id: header.correlation_id,
            client_id: header.client_id.as_ref().map(ToString::to_string).unwrap_or_default(),
            call: Arc::new(call),
            throttle_time_ms: 0,
            fault: None,
        };
        if api == Api::Produce {
            context.throttle_time_ms = self.use_quota(&context, Direction::Produce, request_bytes);
        }
        match action {
            Some(Action::Disconnect(When::Before)) => Outcome::Close,
            Some(Action::Reset(When::Before)) => Outcome::Last(Bytes::new(), Ending::Reset),
            Some(Action::Run(effect, When::Before)) => {
                self.parked.insert(origin.connection, (now, Job::Request(body, context)));
                Outcome::Act(effect)
            }
            Some(Action::Silence(When::Before)) => Outcome::Hang,
            Some(Action::Answer(body)) => Outcome::Reply(api::frame_of(&context, &body)),
            Some(Action::Delay(by, When::Before)) => self.park(now + by, origin, Job::Request(body, context)),
            Some(Action::Throttle(throttle_time_ms)) => {
                context.throttle_time_ms = throttle_time_ms;
                self.serve(&context, body, None)
            }
            Some(Action::Fail(code, when)) => {
                context.fault = Some((code, when));
                self.serve(&context, body, None)
            }
            other => self.serve(&context, body, other),
        }
    }

    /// Goes on with what a connection is parked on: it was woken, or its time has come.
    pub(crate) fn resume(&mut self, now: Instant, origin: Origin) -> Outcome {
        let now = self.tick(now);
        self.served = origin.connection;
        self.keep_retention(now);
        match self.process_of(origin.broker) {
            Process::Running => {}
            Process::Paused => return Outcome::Park(now + LONG),
            Process::Down => return Outcome::Close,
        }
        let Some((until, job)) = self.parked.remove(&origin.connection) else { return Outcome::Silent };
        match job {
            Job::Unread(frame) => self.read(now, origin, frame),
            Job::Wait(pending, mut context, after) => {
                context.now = now;
                let answer = api::resume(self, &context, pending);
                self.finish(&context, answer, after)
            }
            job if now < until => self.park(until, origin, job),
            Job::Muted(frame) => self.read(now, origin, frame),
            Job::Request(body, mut context) => {
                context.now = now;
                self.serve(&context, body, None)
            }
            Job::Reply(frame) => self.reply(origin, frame),
        }
    }

    fn serve(&mut self, context: &Context, body: Bytes, after: Option<Action>) -> Outcome {
        let answer = api::serve(self, context, body);
        self.finish(context, answer, after)
    }

    fn finish(&mut self, context: &Context, answer: Answer, after: Option<Action>) -> Outcome {
        let frame = match answer {
            Answer::Frame(frame) => frame,
            Answer::Park(pending, until) => {
                return self.park(until, context.origin, Job::Wait(pending, context.clone(), after));
            }
            Answer::Silent => return Outcome::Silent,
            Answer::Close => return Outcome::Close,
        };
        #[cfg(feature = "sasl")]
        if self.sasl.is_refused(context.origin.connection) {
            return Outcome::Last(frame, Ending::Close);
        }
        match after {
            Some(Action::Disconnect(_)) => Outcome::Close,
            Some(Action::Reset(_)) => Outcome::Last(Bytes::new(), Ending::Reset),
            Some(Action::Silence(_)) => Outcome::Hang,
            Some(Action::Delay(by, _)) => self.park(context.now + by, context.origin, Job::Reply(frame)),
            Some(Action::Run(effect, _)) => {
                self.parked.insert(context.origin.connection, (context.now, Job::Reply(frame)));
                Outcome::Act(effect)
            }
            Some(Action::Bend(bend)) => self.bend(context, &bend, frame),
            _ => self.reply(context.origin, frame),
        }
    }

    fn bend(&mut self, context: &Context, bend: &Bend, frame: Bytes) -> Outcome {
        let frame = match bend {
            Bend::Cut(at, ending) => return Outcome::Last(frame.slice(..frame.len().min(*at)), *ending),
            Bend::Swap => {
                self.held_back.insert(context.origin.connection, frame);
                return Outcome::Silent;
            }
            Bend::Misname => misnamed(&frame, 1),
            Bend::Double => joined(&frame, &frame),
            Bend::Precede => joined(&misnamed(&frame, 1_000_000), &frame),
            Bend::Rewrite(rewrite) => {
                let body = frame.get(api::header_bytes(context)..).unwrap_or_default();
                api::frame_of(context, &(rewrite.0)(body))
            }
        };
        self.reply(context.origin, frame)
    }

    /// The answer, and after it the one that was to be swapped with it.
    fn reply(&mut self, origin: Origin, frame: Bytes) -> Outcome {
        match self.held_back.remove(&origin.connection) {
            Some(held_back) => Outcome::Reply(joined(&frame, &held_back)),
            None => Outcome::Reply(frame),
        }
    }

    fn park(&mut self, until: Instant, origin: Origin, job: Job) -> Outcome {
        self.parked.insert(origin.connection, (until, job));
        Outcome::Park(until)
    }
}

/// For how long a paused broker's connections look at nothing, unless they are woken.
const LONG: Duration = Duration::from_secs(24 * 3600);
