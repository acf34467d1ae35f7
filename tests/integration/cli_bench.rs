//! `corelog bench` against a broker that does not live as long as the load.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

use crate::harness::broker::Broker;

#[test]
fn what_was_measured_until_the_broker_died_is_reported() {
    let mut broker = Broker::start(1, &[]);
    for (direction, more) in [("produce", ["--rate", "1000"].as_slice()), ("fetch", &[])] {
        let pid = broker.pid().as_raw_nonzero().to_string();
        let mut load = Command::new(env!("CARGO_BIN_EXE_corelog"))
            .args(["bench", direction, "--partitions", "1", "--connections", "1", "--warmup", "0"])
            .args(["--duration", "600", "--broker-pid", &pid, "--json", "-", "-b", &broker.bootstrap()])
            .args(more)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let mut stderr = BufReader::new(load.stderr.take().expect("a pipe"));
        let mut told = String::new();
        while !told.contains("records/s") {
            assert!(0 < stderr.read_line(&mut told).expect("UTF-8"), "{direction} ended: {told}");
        }
        broker.kill();
        stderr.read_to_string(&mut told).expect("UTF-8");
        let output = load.wait_with_output().expect("the program runs");
        assert_eq!(output.status.code(), Some(1), "{direction}: {told}");
        assert!(told.contains("corelog: 1 errors: connection lost"), "{direction}: {told}");
        let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("JSON");
        assert!(report["records"].as_u64().is_some_and(|records| 0 < records), "{direction}: {report}");
        broker.restart();
    }
}
