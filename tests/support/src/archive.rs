//! Class data archives: what Java has parsed of Kafka's classes, kept from one run, so that every later JVM starts in
//! about half the time. Made once beside the jars; without them everything works, slower.
//!
//! A JVM that does not fit an archive (another Java, a moved directory) passes it over.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cluster::KafkaCluster;
use crate::distribution::{Version, crate_dir};
use crate::java::JVM_OPTIONS;
use crate::node::{java_args, wait_end};
use crate::supervisor::Supervised;

const WITHIN: Duration = Duration::from_secs(60);

/// The options that make a JVM use the archive of this kind, where there is one. A JVM that cannot use it would warn
/// on stdout.
pub(crate) fn options(libs: &Path, kind: &str) -> Vec<String> {
    let archive = path(libs, kind);
    if !archive.exists() {
        return Vec::new();
    }
    vec![
        format!("-XX:SharedArchiveFile={}", archive.display()),
        "-Xlog:disable".into(),
        "-Xlog:all=error:stderr".into(),
    ]
}

/// Makes the archives unless that was tried before. The caller holds the lock on the directory.
pub(crate) fn make(version: Version, libs: &Path) {
    let tried = libs.with_file_name("archives-tried");
    if tried.exists() || fs::write(&tried, "").is_err() {
        return;
    }
    let fresh = |kind: &str| path(libs, kind).with_extension("fresh");
    if run(version, libs, &fresh("broker"), &fresh("tools")).is_some() {
        for kind in ["broker", "tools"] {
            let _ = fs::rename(fresh(kind), path(libs, kind));
        }
    }
}

/// One broker and one producer that leave their archives as they end.
fn run(version: Version, libs: &Path, broker: &Path, tools: &Path) -> Option<()> {
    let leave = |archive: &Path| format!("-XX:ArchiveClassesAtExit={}", archive.display());
    let cluster = KafkaCluster::builder()
        .version(version)
        .set("auto.create.topics.enable", "true")
        .jvm_option(&leave(broker))
        .start_with(libs)
        .ok()?;
    let mut args: Vec<String> = JVM_OPTIONS.iter().map(|option| (*option).to_owned()).collect();
    args.push(leave(tools));
    args.extend(java_args(version, libs, "tools"));
    args.push(crate_dir().join("java").join("Writer.java").display().to_string());
    args.extend(["--topic=t".into(), "--count=10".into(), format!("--bootstrap={}", cluster.bootstrap())]);
    let mut writer = Supervised::spawn("java", &args, &cluster.dir().join("writer.txt")).ok()?;
    wait_end(&mut writer, WITHIN)?;
    cluster.stop_blocking(1);
    Some(())
}

fn path(libs: &Path, kind: &str) -> PathBuf {
    libs.with_file_name(format!("{kind}.jsa"))
}
