//! What a cluster is to be like, and its start from that.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Mutex;

use crate::cluster::KafkaCluster;
use crate::distribution::Version;
use crate::node::Node;
use crate::ports::Port;
use crate::properties::{NodePlan, Profile};
use crate::supervisor::Janitor;

/// When another program takes a chosen port just before Kafka does.
const ATTEMPTS: usize = 3;

/// What a cluster is to be like: [`KafkaCluster::builder`].
#[derive(Debug, Clone)]
pub struct Builder {
    nodes: usize,
    version: Version,
    profile: Profile,
    overrides: Vec<(String, String)>,
    node_overrides: Vec<(usize, String, String)>,
    format_args: Vec<String>,
    jvm_options: Vec<String>,
    first_port: Option<u16>,
    advertised: Vec<SocketAddr>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            nodes: 1,
            version: Version::default(),
            profile: Profile::default(),
            overrides: Vec::new(),
            node_overrides: Vec::new(),
            format_args: Vec::new(),
            jvm_options: Vec::new(),
            first_port: None,
            advertised: Vec::new(),
        }
    }
}

impl Builder {
    /// 1 or 3 (2 has no quorum with one down, so it is for tests of that only).
    #[must_use]
    pub fn nodes(mut self, nodes: usize) -> Self {
        self.nodes = nodes;
        self
    }

    /// The Kafka to start.
    #[must_use]
    pub fn version(mut self, version: Version) -> Self {
        self.version = version;
        self
    }

    /// What it is for.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// A line of every node's `server.properties`; it prevails over what the support would set.
    #[must_use]
    pub fn set(mut self, key: &str, value: &str) -> Self {
        self.overrides.push((key.to_owned(), value.to_owned()));
        self
    }

    /// A line of one node's `server.properties`, as [`set`](Self::set) for all of them: its `broker.rack`, for example.
    #[must_use]
    pub fn set_on(mut self, node: usize, key: &str, value: &str) -> Self {
        self.node_overrides.push((node, key.to_owned(), value.to_owned()));
        self
    }

    /// One more argument of `StorageTool format`, such as `--add-scram` and its value.
    #[must_use]
    pub fn format_arg(mut self, argument: &str) -> Self {
        self.format_args.push(argument.to_owned());
        self
    }

    /// One more option of every broker's JVM: `-Xmx1g`.
    #[must_use]
    pub fn jvm_option(mut self, option: &str) -> Self {
        self.jvm_options.push(option.to_owned());
        self
    }

    /// Free ports, the default.
    #[must_use]
    pub fn free_ports(mut self) -> Self {
        self.first_port = None;
        self
    }

    /// The client port of node 1; the others follow.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.first_port = Some(port);
        self
    }

    /// Gives every node one more listener that advertises these addresses, one a node: those of a proxy that listens
    /// there and connects to [`KafkaCluster::proxied_upstream`]. A client that bootstraps through the proxy stays behind
    /// it; the tools and the nodes among themselves go past it.
    #[must_use]
    pub fn advertise(mut self, proxies: &[SocketAddr]) -> Self {
        self.advertised = proxies.to_vec();
        self
    }

    /// Starts the cluster and waits until every node answers.
    ///
    /// # Panics
    ///
    /// When it does not start; the message holds the end of the nodes' logs.
    pub async fn start(self) -> KafkaCluster {
        self.try_start().await.unwrap_or_else(|error| panic!("Kafka did not start: {error}"))
    }

    /// As [`start`](Self::start), with the reason as text when it fails.
    ///
    /// # Errors
    ///
    /// When Kafka cannot be had here, or does not start.
    pub async fn try_start(self) -> Result<KafkaCluster, String> {
        tokio::task::spawn_blocking(move || self.start_blocking()).await.map_err(|error| error.to_string())?
    }

    /// As [`try_start`](Self::try_start), on the caller's thread and without a runtime.
    ///
    /// # Errors
    ///
    /// When Kafka cannot be had here, or does not start.
    pub fn start_blocking(&self) -> Result<KafkaCluster, String> {
        self.start_with(&self.version.libs().map_err(|skip| skip.to_string())?)
    }

    pub(crate) fn start_with(&self, libs: &Path) -> Result<KafkaCluster, String> {
        let mut last = String::new();
        for _ in 0..ATTEMPTS {
            let cluster = self.prepare(libs)?;
            match cluster.bring_up(&self.format_args) {
                Ok(()) => return Ok(cluster),
                Err(error) => last = error,
            }
            if self.first_port.is_some() || !cluster.has_logged("Address already in use") {
                break;
            }
        }
        Err(last)
    }

    /// Directories and properties; nothing runs yet.
    fn prepare(&self, libs: &Path) -> Result<KafkaCluster, String> {
        let say = |error: std::io::Error| error.to_string();
        let dir = tempfile::Builder::new().prefix("craftwire-kafka-").tempdir().map_err(say)?.keep();
        let janitor = Janitor::of(&dir).map_err(say)?;
        let controllers: Vec<Port> = (0..self.nodes).map(|_| Port::free()).collect();
        let numbers: Vec<u16> = controllers.iter().map(|port| port.number).collect();

        let mut nodes = Vec::new();
        for (id, controller) in (1_u16..).zip(controllers) {
            let index = usize::from(id - 1);
            let port = self.first_port.map_or_else(Port::free, |first| Port::fixed(first + id - 1));
            let proxy = self.advertised.get(index).map(|address| (Port::free(), address.to_string()));
            let dir = dir.join(format!("node-{id}"));
            let data = dir.join("data");
            let plan = NodePlan {
                id: usize::from(id),
                port: port.number,
                proxied: proxy.as_ref().map(|(port, address)| (port.number, address.as_str())),
                controllers: &numbers,
                profile: self.profile,
                data: &data,
            };
            let mut jvm_options = plan.jvm_options();
            jvm_options.extend_from_slice(&self.jvm_options);
            fs::create_dir_all(&data).map_err(say)?;
            let its_own = self.node_overrides.iter().filter(|(node, ..)| *node == plan.id);
            let its_own = its_own.map(|(_, key, value)| (key.clone(), value.clone()));
            let overrides: Vec<_> = self.overrides.iter().cloned().chain(its_own).collect();
            fs::write(dir.join("server.properties"), plan.server_properties(&overrides)).map_err(say)?;
            nodes.push(Mutex::new(Node {
                port,
                proxied: proxy.map(|(port, _)| port),
                _controller: controller,
                dir,
                jvm_options,
                running: None,
            }));
        }
        Ok(KafkaCluster::of(nodes, janitor, dir, self.version, libs.to_owned()))
    }
}
