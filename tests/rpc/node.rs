//! The node behind the RPC: it answers what the agent of the transcript answered.

use clusteros_init::gossip::rpc::{Answer, Ask, Level, Line, Session, Stats};
use clusteros_init::gossip::serf::{Event, KeyReport, Kind, Member, Numbers, Reply, Status};
use clusteros_init::gossip::swim::Record;
use clusteros_init::gossip::wire::coordinate::Coordinate;
use clusteros_init::gossip::wire::message::Addr;
use clusteros_init::gossip::wire::tags::{self, Tags};
use clusteros_init::unit::Time;

use crate::value::Value;

/// What the agent sent and has not been asked for yet.
pub struct Node {
    expected: Vec<Value>,
    key: u64,
}

impl Node {
    pub fn new(expected: &[Vec<u8>]) -> Node {
        Node { expected: expected.iter().map(|bytes| Value::of(bytes)).collect(), key: 0 }
    }

    /// The bodies that belong to records, in order.
    fn bodies(&self, key: &str) -> Vec<Value> {
        self.expected.iter().filter(|value| value.get(key) != Value::Nil).cloned().collect()
    }

    /// The body with this key.
    fn body(&self, key: &str) -> Value {
        self.bodies(key).into_iter().next().unwrap_or_else(|| panic!("no {key} in {:?}", self.expected))
    }

    /// What streams were told before the client said a word.
    pub fn tell_stream(&self, session: &mut Session) {
        for body in self.bodies("Event") {
            session.event(Time::ZERO, &event(&body));
        }
    }

    pub fn answer(&mut self, session: &mut Session, ask: Ask) {
        let error = self.expected.iter().filter(|value| value.get("Seq") != Value::Nil);
        let error = error.map(|header| header.get("Error").text()).find(|error| !error.is_empty());
        let plain = || error.clone().map_or(Answer::Done, Answer::Refused);
        let answer = match ask {
            Ask::Event { .. } | Ask::ForceLeave { .. } | Ask::Tags { .. } | Ask::Leave | Ask::Respond { .. } => {
                // In the one section with both, the error is the session's own.
                if error.as_deref() == Some("No pending queries matching ID") { Answer::Done } else { plain() }
            }
            Ask::Join { .. } => {
                Answer::Joined(self.body("Num").get("Num").number() as usize, error.unwrap_or_default())
            }
            Ask::Members(filter) => {
                let members = self.body("Members").get("Members");
                let members = members.list().iter().map(member);
                Answer::Members(members.filter(|member| filter.admits(member)).collect())
            }
            Ask::Stats => Answer::Stats(Box::new(stats(&self.body("serf")))),
            Ask::Coordinate(_) => {
                let at = self.expected.iter().position(|value| value.get("Coord") != Value::Nil).expect("one");
                let body = self.expected.remove(at);
                let place = body.get("Coord");
                let place = (body.get("Ok") == Value::Bool(true)).then(|| Coordinate {
                    adjustment: place.get("Adjustment").float(),
                    error: place.get("Error").float(),
                    height: place.get("Height").float(),
                    vec: place.get("Vec").list().iter().map(Value::float).collect(),
                });
                Answer::Coordinate(place)
            }
            Ask::Lines => {
                session.answer(Answer::Lines(Vec::new()));
                let records = std::mem::take(&mut self.expected);
                for body in &records {
                    if body.get("Event") != Value::Nil {
                        session.event(Time::ZERO, &event(body));
                    } else if body.get("Log") != Value::Nil {
                        let text = body.get("Log").text();
                        let level = text.split(['[', ']']).nth(1).and_then(Level::of).expect("a level");
                        session.line(&Line { level, text: text.into() });
                    }
                }
                return;
            }
            Ask::Query(_) if error.is_some() => plain(),
            Ask::Query(_) => {
                self.key += 1;
                session.answer(Answer::Asked(self.key));
                for body in self.bodies("Type") {
                    let from = body.get("From").name();
                    let reply = match body.get("Type").text().as_str() {
                        "ack" => Reply::Ack(from),
                        "response" => Reply::Response(from, body.get("Payload").bytes()),
                        "done" => Reply::Done,
                        other => panic!("{other}"),
                    };
                    session.reply(self.key, &reply);
                }
                return;
            }
            Ask::Keys(_) => {
                let body = self.body("NumNodes");
                let number = |key: &str| body.get(key).number() as usize;
                let keys = body.get("Keys");
                Answer::Keys(KeyReport {
                    error: error.unwrap_or_default(),
                    messages: texts(&body.get("Messages")),
                    keys: (keys != Value::Nil).then(|| {
                        keys.pairs().iter().map(|(key, count)| (key.name(), count.number() as usize)).collect()
                    }),
                    nodes: number("NumNodes"),
                    errors: number("NumErr"),
                    responses: number("NumResp"),
                })
            }
        };
        session.answer(answer);
    }
}

fn texts(value: &Value) -> Tags {
    value.pairs().iter().map(|(key, text)| (key.name(), text.name())).collect()
}

fn member(value: &Value) -> Member {
    let version = |key: &str| value.get(key).number() as u8;
    let statuses = [Status::None, Status::Alive, Status::Leaving, Status::Left, Status::Failed];
    let status = value.get("Status").text();
    let record = Record {
        name: value.get("Name").name(),
        addr: Addr(value.get("Addr").bytes()),
        port: value.get("Port").number() as u16,
        meta: tags::encode(&texts(&value.get("Tags"))),
        vsn: ["ProtocolMin", "ProtocolMax", "ProtocolCur", "DelegateMin", "DelegateMax", "DelegateCur"].map(version),
    };
    let status = statuses.into_iter().find(|known| known.word() == status).expect("a status");
    Member { record: record.into(), status }
}

fn event(body: &Value) -> Event {
    let ltime = || body.get("LTime").number();
    let (name, payload) = (body.get("Name").name(), body.get("Payload").bytes());
    match body.get("Event").text().as_str() {
        "user" => Event::User { ltime: ltime(), name, payload, coalesce: body.get("Coalesce") == Value::Bool(true) },
        "query" => Event::Query { key: 7, until: Time::from_nanos(1), ltime: ltime(), name, payload, from: "a".into() },
        kind => Event::Members {
            kind: [Kind::Join, Kind::Leave, Kind::Failed, Kind::Update, Kind::Reap]
                .into_iter()
                .find(|known| known.word() == kind)
                .expect("a kind"),
            members: body.get("Members").list().iter().map(member).collect(),
        },
    }
}

fn stats(body: &Value) -> Stats {
    let serf = body.get("serf");
    let number = |key: &str| serf.get(key).number();
    let runtime = ["arch", "cpu_count", "goroutines", "max_procs", "os", "version"];
    Stats {
        name: body.get("agent").get("name").name(),
        runtime: runtime.map(|key| (key, body.get("runtime").get(key).text())).to_vec(),
        numbers: Numbers {
            members: number("members") as usize,
            failed: number("failed") as usize,
            left: number("left") as usize,
            member_time: number("member_time"),
            event_time: number("event_time"),
            query_time: number("query_time"),
            intent_queue: number("intent_queue") as usize,
            event_queue: number("event_queue") as usize,
            query_queue: number("query_queue") as usize,
            coordinate_resets: number("coordinate_resets"),
        },
        health: number("health_score") as u32,
        encrypted: serf.get("encrypted").text() == "true",
        tags: texts(&body.get("tags")),
        event_handlers: texts(&body.get("event_handlers")),
    }
}
