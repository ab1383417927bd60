//! Where nodes of AllStarLink are: looked up by DNS and in a list, on a thread of its own, since a name server or a disk
//! may take its time. What was found is kept for as long as that holds, and what was not for a little while.

mod list;
mod names;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use oneport_proto::{CallId, Instant, Secret};
use oneport_wire::CauseCode;
use tokio::sync::Mutex;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use list::{Entry, List};
use names::Names;

/// Nodes that are looked up at once.
const MOST_WAITING: usize = 256;

/// How soon it is looked whether an answer has come.
const LOOK: Duration = Duration::from_millis(5);

/// An answer holds so long at least, whatever the zone says, and so long at most.
const HOLDS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(3_600));

/// The name by which nodes are called that DNS has found.
const USER: &str = "radio";

/// Numbers of nodes have so many digits.
const DIGITS: std::ops::RangeInclusive<usize> = 2..=10;

/// How nodes are looked up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NodesConfig {
    /// Whether name servers are asked.
    pub(crate) dns: bool,
    /// Below which name they are found.
    pub(crate) zone: String,
    /// Those that are asked; none: the system's.
    pub(crate) servers: Vec<SocketAddr>,
    /// A file that says where they are, where DNS does not.
    pub(crate) list: Option<PathBuf>,
    /// How long one look-up takes at most.
    pub(crate) limit: Duration,
    /// How long it holds that one is not found.
    pub(crate) not_found_holds: Duration,
    /// Nodes that are kept.
    pub(crate) most_kept: usize,
}

impl Default for NodesConfig {
    fn default() -> Self {
        Self {
            dns: true,
            zone: "nodes.allstarlink.org".into(),
            servers: Vec::new(),
            list: None,
            limit: Duration::from_secs(3),
            not_found_holds: Duration::from_secs(30),
            most_kept: 10_000,
        }
    }
}

/// Where a node is, and how it is called.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Node {
    pub(crate) address: SocketAddr,
    /// The name by which it is called, and what proves it.
    pub(crate) user: Option<String>,
    pub(crate) secret: Option<Secret>,
    /// The number that is called there.
    pub(crate) number: String,
    /// From where it calls; `None`: from wherever.
    pub(crate) calls_from: Option<IpAddr>,
}

/// Why a node is not found.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct NotFound {
    /// The name of the reason in records.
    pub(crate) kind: &'static str,
    pub(crate) why: String,
    pub(crate) cause: CauseCode,
}

impl NotFound {
    fn unknown(why: String) -> Self {
        Self { kind: "node_unknown", why, cause: CauseCode::UNALLOCATED }
    }

    fn no_answer(why: String) -> Self {
        Self { kind: "node_lookup_failed", why, cause: CauseCode::TEMPORARY_FAILURE }
    }
}

/// What a look-up came to.
pub(crate) type Answer = Result<Arc<Node>, NotFound>;

struct Reply {
    node: String,
    answer: Answer,
    holds: Duration,
}

/// Looks up nodes for calls.
#[derive(Default)]
pub(crate) struct Nodes {
    config: NodesConfig,
    kept: BTreeMap<String, (Answer, Instant)>,
    /// The same by the end of their time.
    ends: BTreeSet<(Instant, String)>,
    thread: Option<(UnboundedSender<String>, mpsc::Receiver<Reply>)>,
    /// Nodes that are being looked up, and the calls that wait for each.
    waiting: BTreeMap<String, Vec<CallId>>,
    look: Option<Instant>,
}

impl Nodes {
    pub(crate) fn new(config: NodesConfig) -> Self {
        Self { config, ..Self::default() }
    }

    /// Looks nodes up in another way from now on. Who waits goes on waiting, for the answer of that.
    pub(crate) fn reconfigure(&mut self, now: Instant, config: NodesConfig) {
        if config == self.config {
            return;
        }
        let waiting = std::mem::take(&mut self.waiting);
        *self = Self { config, ..Self::default() };
        for (node, calls) in waiting {
            for call in calls {
                // Where the system gives no thread they hear of it when they are looked at again.
                let _ = self.find(now, &node, Some(call));
            }
        }
    }

    /// Where a node is, if that is known; else it is looked up, and [`poll`](Self::poll) names `call` once it is
    /// known.
    pub(crate) fn find(
        &mut self,
        now: Instant,
        node: &str,
        call: Option<CallId>,
    ) -> Option<Answer> {
        if !is_node(node) {
            let why = format!("`{node}` is no number of a node");
            return Some(Err(NotFound::unknown(why)));
        }
        if let Some((answer, until)) = self.kept.get(node) {
            if *until > now {
                return Some(answer.clone());
            }
            self.forget(&node.to_string());
        }
        if let Some(calls) = self.waiting.get_mut(node) {
            calls.extend(call.filter(|call| !calls.contains(call)));
            return None;
        }
        if self.waiting.len() >= MOST_WAITING {
            let why = format!("{MOST_WAITING} nodes are being looked up already");
            return Some(Err(NotFound::no_answer(why)));
        }
        let thread = match self.thread.take() {
            Some(thread) => thread,
            None => match start(self.config.clone()) {
                Ok(thread) => thread,
                Err(error) => {
                    let why = format!("nodes cannot be looked up: {error}");
                    return Some(Err(NotFound::no_answer(why)));
                }
            },
        };
        // It lives as long as this.
        let _ = thread.0.send(node.into());
        self.thread = Some(thread);
        self.waiting.insert(node.into(), call.into_iter().collect());
        self.look = Some(now + LOOK);
        None
    }

    /// Where a node is that has been looked up.
    ///
    /// # Errors
    /// It is not known, or not yet.
    pub(crate) fn known(&self, now: Instant, node: &str) -> Answer {
        match self.kept.get(node) {
            Some((answer, until)) if *until > now => answer.clone(),
            _ if is_node(node) => {
                Err(NotFound::no_answer(format!("node {node} was not looked up")))
            }
            _ => Err(NotFound::unknown(format!("`{node}` is no number of a node"))),
        }
    }

    /// When to poll, while anything is awaited.
    pub(crate) const fn next(&self) -> Option<Instant> {
        self.look
    }

    /// The calls that waited for the next node that has been looked up.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Vec<CallId>> {
        let reply = self.thread.as_ref().and_then(|(_, replies)| replies.try_recv().ok());
        let calls = reply.map(|reply| {
            let calls = self.waiting.remove(&reply.node);
            self.keep(now, reply);
            calls.unwrap_or_default()
        });
        self.look = (!self.waiting.is_empty()).then_some(now + LOOK);
        calls
    }

    fn keep(&mut self, now: Instant, Reply { node, answer, holds }: Reply) {
        if self.kept.len() >= self.config.most_kept
            && let Some((_, first)) = self.ends.first().cloned()
        {
            self.forget(&first);
        }
        let until = now + holds;
        self.ends.insert((until, node.clone()));
        self.kept.insert(node, (answer, until));
    }

    fn forget(&mut self, node: &String) {
        if let Some((_, until)) = self.kept.remove(node) {
            self.ends.remove(&(until, node.clone()));
        }
    }
}

/// Whether this can be the number of a node.
pub(crate) fn is_node(text: &str) -> bool {
    DIGITS.contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_digit())
        && !text.starts_with('0')
}

/// What the thread asks.
struct Asked {
    names: Option<Result<Names, String>>,
    list: Option<Arc<Mutex<List>>>,
    config: NodesConfig,
}

fn start(config: NodesConfig) -> std::io::Result<(UnboundedSender<String>, mpsc::Receiver<Reply>)> {
    let (sender, mut questions) = unbounded_channel::<String>();
    let (done, replies) = mpsc::channel();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new().name("nodes".into()).spawn(move || {
        runtime.block_on(async {
            let names = config.dns.then(|| Names::ask(&config.servers, &config.zone, config.limit));
            let list = config.list.as_deref().map(|path| Arc::new(Mutex::new(List::of(path))));
            let asked = Arc::new(Asked { names, list, config });
            let mut under_way = JoinSet::new();
            while let Some(node) = questions.recv().await {
                while under_way.try_join_next().is_some() {}
                let (asked, done) = (asked.clone(), done.clone());
                under_way.spawn(async move {
                    let (answer, holds) = asked.answer(&node).await;
                    // The switch may have gone.
                    let _ = done.send(Reply { node, answer, holds });
                });
            }
        });
        // A disk that hangs holds up nobody.
        runtime.shutdown_background();
    })?;
    Ok((sender, replies))
}

impl Asked {
    async fn answer(&self, node: &str) -> (Answer, Duration) {
        let limit = self.config.limit;
        let (least, most) = HOLDS;
        match tokio::time::timeout(limit, self.look_up(node)).await {
            Ok(Ok(Some((found, holds)))) => (Ok(Arc::new(found)), holds.clamp(least, most)),
            Ok(Ok(None)) => {
                let why = format!("there is no node {node}");
                (Err(NotFound::unknown(why)), self.config.not_found_holds)
            }
            Ok(Err(why)) => (Err(NotFound::no_answer(why)), least),
            Err(_) => {
                let why = format!("node {node} was not found within {} ms", limit.as_millis());
                (Err(NotFound::no_answer(why)), least)
            }
        }
    }

    /// By DNS first, as `app_rpt` does; where that knows nothing, or says nothing, in the list.
    async fn look_up(&self, node: &str) -> Result<Option<(Node, Duration)>, String> {
        let mut failure = None;
        match &self.names {
            None => {}
            Some(Err(why)) => failure = Some(why.clone()),
            Some(Ok(names)) => {
                // With a list behind it DNS has not all of the time.
                let share = if self.list.is_some() { 2 } else { 1 };
                let asked = names.node(node);
                match tokio::time::timeout(self.config.limit / share, asked).await {
                    Ok(Ok(Some(found))) => {
                        let node = Node {
                            address: found.address,
                            user: Some(USER.into()),
                            secret: None,
                            number: node.into(),
                            calls_from: Some(found.address.ip()),
                        };
                        return Ok(Some((node, found.holds)));
                    }
                    Ok(Ok(None)) => {}
                    Ok(Err(why)) => failure = Some(why),
                    Err(_) => failure = Some("no name server answers in time".into()),
                }
            }
        }
        match self.listed(node).await {
            Ok(Some(entry)) => self.resolved(entry).await.map(|node| Some((node, HOLDS.0))),
            Ok(None) => failure.map_or(Ok(None), Err),
            Err(why) => Err(match failure {
                Some(other) => format!("{other}; {why}"),
                None => why,
            }),
        }
    }

    async fn listed(&self, node: &str) -> Result<Option<Entry>, String> {
        let Some(list) = &self.list else { return Ok(None) };
        let mut list = list.clone().lock_owned().await;
        let node = node.to_string();
        let found = tokio::task::spawn_blocking(move || list.find(&node)).await;
        found.unwrap_or_else(|error| Err(error.to_string()))
    }

    /// A node of the list, its hosts as addresses.
    async fn resolved(&self, entry: Entry) -> Result<Node, String> {
        let ip = self.host(&entry.host).await?;
        let calls_from = match &entry.calls_from {
            None => None,
            Some(host) if *host == entry.host => Some(ip),
            Some(host) => Some(self.host(host).await?),
        };
        Ok(Node {
            address: SocketAddr::new(ip, entry.port),
            user: entry.user,
            secret: entry.secret,
            number: entry.number,
            calls_from,
        })
    }

    async fn host(&self, host: &str) -> Result<IpAddr, String> {
        if let Ok(ip) = host.parse() {
            return Ok(ip);
        }
        match &self.names {
            Some(Ok(names)) => {
                let found = names.host(host).await?;
                found.map(|(ip, _)| ip).ok_or_else(|| format!("{host} has no address"))
            }
            _ => Err(format!("{host} is no address, and no name server is asked")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(1 + seconds * 1_000_000)
    }

    fn reply(node: &str, holds: u64) -> Reply {
        let answer = Err(NotFound::unknown("no".into()));
        Reply { node: node.into(), answer, holds: Duration::from_secs(holds) }
    }

    #[test]
    fn numbers_of_nodes_are_digits_that_begin_with_none_but_nought() {
        for good in ["27", "2000", "1999", "546054", "3999999999"] {
            assert!(is_node(good), "{good}");
        }
        for wrong in ["", "1", "0", "02000", "W1AW", "2000.example", "12345678901", "2000 "] {
            assert!(!is_node(wrong), "{wrong}");
        }
    }

    #[test]
    fn what_is_kept_has_a_bound_and_an_end() {
        let config = NodesConfig { dns: false, most_kept: 2, ..NodesConfig::default() };
        let mut nodes = Nodes::new(config);
        nodes.keep(at(0), reply("2000", 30));
        nodes.keep(at(0), reply("2001", 10));
        nodes.keep(at(0), reply("2002", 20));
        let kept: Vec<&str> = nodes.kept.keys().map(String::as_str).collect();
        assert_eq!(kept, ["2000", "2002"], "the one that would have ended first made room");
        assert_eq!(nodes.ends.len(), 2);
        assert!(nodes.find(at(29), "2000", None).is_some_and(|answer| answer.is_err()));
        assert!(nodes.find(at(30), "2000", None).is_none(), "it is looked up again");
        assert_eq!(nodes.kept.len(), 1);
    }

    #[test]
    fn so_many_nodes_are_looked_up_at_once_and_no_more() {
        let config = NodesConfig { dns: false, ..NodesConfig::default() };
        let mut nodes = Nodes::new(config);
        for node in 0..MOST_WAITING {
            assert_eq!(nodes.find(at(0), &(2_000 + node).to_string(), None), None);
        }
        let refused = nodes.find(at(0), "9999", None).expect("at once").expect_err("no room");
        assert_eq!(refused.kind, "node_lookup_failed");
        assert_eq!(nodes.find(at(0), "2000", None), None, "one that is asked for already waits");
        assert_eq!(nodes.waiting.len(), MOST_WAITING);
    }
}
