//! The files of `disk_formats`, as they are when nothing is wrong with them.

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Record batches.
    Batches,
    /// A format without a checksum.
    Plain,
    /// `.snapshot`
    ProducerSnapshot,
    /// `.kafka_cleanshutdown`
    CleanShutdown,
    /// `corelog-journal-000`
    Journal,
    /// `.checkpoint` of `__cluster_metadata-0`; by itself, not part of the directory.
    MetadataSnapshot,
    /// A segment of `__cluster_metadata-0`; by itself, not part of the directory.
    MetadataLog,
}

/// A file of the directory.
pub struct File {
    /// The name below the log directory.
    pub name: &'static str,
    /// What it holds.
    pub kind: Kind,
    /// What is in it unless the fuzzer replaces it; a file that is empty is not there.
    pub contents: &'static [u8],
}

macro_rules! golden {
    ($kind:expr, $name:literal) => {
        File {
            name: concat!("golden-0/", $name),
            kind: $kind,
            contents: include_bytes!(concat!("../golden/log/", $name)),
        }
    };
}

const fn file(kind: Kind, name: &'static str, contents: &'static [u8]) -> File {
    File { name, kind, contents }
}

/// All of them: the fuzzer's first byte is an index into this.
pub const FILES: &[File] = &[
    golden!(Kind::Batches, "00000000000000000000.log"),
    golden!(Kind::Batches, "00000000000000000150.log"),
    golden!(Kind::Batches, "00000000000000000300.log"),
    golden!(Kind::Plain, "00000000000000000000.index"),
    golden!(Kind::Plain, "00000000000000000150.index"),
    golden!(Kind::Plain, "00000000000000000300.index"),
    golden!(Kind::Plain, "00000000000000000000.timeindex"),
    golden!(Kind::Plain, "00000000000000000150.timeindex"),
    golden!(Kind::Plain, "00000000000000000300.timeindex"),
    file(Kind::Plain, "golden-0/00000000000000000150.txnindex", &[]),
    golden!(Kind::ProducerSnapshot, "00000000000000000150.snapshot"),
    golden!(Kind::ProducerSnapshot, "00000000000000000300.snapshot"),
    golden!(Kind::ProducerSnapshot, "00000000000000000450.snapshot"),
    golden!(Kind::Plain, "leader-epoch-checkpoint"),
    golden!(Kind::Plain, "partition.metadata"),
    file(Kind::Plain, "recovery-point-offset-checkpoint", b"0\n1\ngolden 0 450\n"),
    file(Kind::Plain, "log-start-offset-checkpoint", b"0\n1\ngolden 0 3\n"),
    file(Kind::Plain, "replication-offset-checkpoint", b"0\n1\ngolden 0 450\n"),
    file(Kind::Plain, "cleaner-offset-checkpoint", b"0\n1\ngolden 0 150\n"),
    file(
        Kind::Plain,
        "meta.properties",
        b"version=1\ncluster.id=x\nnode.id=1\ndirectory.id=AAAAAAAAAAAAAAAAAAAAZA\n",
    ),
    file(Kind::CleanShutdown, ".kafka_cleanshutdown", b"{\"version\":0,\"brokerEpoch\":1}"),
    file(Kind::Journal, "corelog-journal-000", &[]),
    file(
        Kind::MetadataSnapshot,
        "",
        include_bytes!("../golden/metadata/00000000000000000185-0000000002.checkpoint"),
    ),
    file(Kind::MetadataLog, "", include_bytes!("../golden/metadata/kafka-4.3.1.log")),
];
