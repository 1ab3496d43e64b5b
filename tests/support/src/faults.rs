//! What else befalls a node: it comes back at another address, or its disk takes no more.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};

use crate::cluster::KafkaCluster;
use crate::ports::Port;

/// What a file of a full disk may still hold: less than any segment.
const FULL: u64 = 4096;

impl KafkaCluster {
    /// Gives a node that is down other ports for its clients; it is at them once it is started again. The quorum's stay.
    ///
    /// # Panics
    ///
    /// When the node runs.
    pub fn move_away(&self, node: i32) {
        let mut node = self.node(node);
        assert!(node.running.is_none(), "a node that runs keeps its ports");
        let file = node.dir.join("server.properties");
        let mut text = fs::read_to_string(&file).expect("a node has its properties");
        // The old numbers stay claimed until the new ones are, so these are others.
        let port = Port::free();
        text = text.replace(&format!(":{}", node.port.number), &format!(":{}", port.number));
        node.port = port;
        if let Some(old) = node.proxied.take() {
            let port = Port::free();
            text = text.replace(&format!(":{}", old.number), &format!(":{}", port.number));
            node.proxied = Some(port);
        }
        fs::write(file, text).expect("a node's properties can be written");
    }

    /// Lets a node that is down advertise another proxy's address, once it is started again.
    ///
    /// # Panics
    ///
    /// When the node runs, or was built without [`Builder::advertise`](crate::Builder::advertise).
    pub fn advertise(&self, node: i32, address: SocketAddr) {
        let node = self.node(node);
        assert!(node.running.is_none(), "a node that runs has told its address");
        let file = node.dir.join("server.properties");
        let text = fs::read_to_string(&file).expect("a node has its properties");
        let line =
            text.lines().find(|line| line.starts_with("advertised.listeners=")).expect("it advertises");
        let (before, _) = line.split_once("PROXIED://").expect("a node built to be behind a proxy");
        let text = text.replace(line, &format!("{before}PROXIED://{address}"));
        fs::write(file, text).expect("a node's properties can be written");
    }

    /// From now on no file of a running node grows: every write to its disk fails, as on a full one (the kernel says
    /// "file too large" where it would say "no space left on device"). A node that is started again has room.
    ///
    /// # Panics
    ///
    /// When the node is down, or there is no `prlimit`.
    pub fn fill_disk(&self, node: i32) {
        let pid = self.pid(node).expect("the node runs");
        let mut prlimit = Command::new("prlimit");
        prlimit.args(["--pid", &pid.to_string(), &format!("--fsize={FULL}")]);
        let status = prlimit.stdout(Stdio::null()).status().expect("`prlimit` runs");
        assert!(status.success(), "prlimit ended with {status}");
    }

    /// Whether a node's process lives. One whose disk is full ends by itself.
    #[must_use]
    pub fn is_alive(&self, node: i32) -> bool {
        self.node(node).running.as_mut().is_some_and(|running| running.ended().is_none())
    }
}
