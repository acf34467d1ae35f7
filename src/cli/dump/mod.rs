//! `corelog log dump`: prints what the files of a log directory hold, and checks it.
//!
//! The formats are read here once more, not with the code of `log` that writes them, on purpose: a check
//! that shares code with the writer shares its mistakes. The lines are those of Kafka's dump tool as far as
//! people search them.

mod index;
mod segment;
mod snapshot;

use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use clap::Args;

use super::CliError;
use super::output::written;

#[derive(Debug, Args)]
pub(super) struct DumpArgs {
    /// Files: segments (.log), metadata snapshots (.checkpoint), offset and time indexes (.index,
    /// .timeindex), producer snapshots (.snapshot). Indexes are compared with the segment beside them.
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print the records within batches too.
    #[arg(short, long)]
    records: bool,
    /// Print records as those of the metadata log.
    #[arg(short, long)]
    metadata: bool,
    /// Print problems only.
    #[arg(short, long)]
    quiet: bool,
}

/// What was found in one file.
struct Dump<'a> {
    out: Box<dyn Write + 'a>,
    problems: Vec<String>,
    /// Nobody reads the output any more.
    is_unread: bool,
}

impl Dump<'_> {
    fn line(&mut self, line: std::fmt::Arguments<'_>) -> Result<(), CliError> {
        if !self.is_unread {
            self.is_unread = !written(writeln!(self.out, "{line}"))?;
        }
        Ok(())
    }

    fn problem(&mut self, problem: impl Into<String>) {
        self.problems.push(problem.into());
    }
}

/// Dumps the files; fails if one of them is broken.
pub(super) fn run(args: &DumpArgs) -> Result<(), CliError> {
    let mut broken = 0;
    for path in &args.files {
        let out: Box<dyn Write> = match args.quiet {
            true => Box::new(io::sink()),
            false => Box::new(BufWriter::new(io::stdout().lock())),
        };
        let mut dump = Dump { out, problems: Vec::new(), is_unread: false };
        // A file that is not there is not being dumped.
        fs::File::open(path).map_err(|error| unreadable(path, &error))?;
        dump.line(format_args!("Dumping {}", path.display()))?;
        dump_file(path, args, &mut dump)?;
        written(dump.out.flush())?;
        for problem in &dump.problems {
            eprintln!("{}: {problem}", path.display());
        }
        broken += usize::from(!dump.problems.is_empty());
    }
    match broken {
        0 => Ok(()),
        _ => Err(CliError::failed(format!("{broken} of {} files have problems", args.files.len()))),
    }
}

fn dump_file(path: &Path, args: &DumpArgs, dump: &mut Dump<'_>) -> Result<(), CliError> {
    let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or("");
    match extension {
        "log" | "checkpoint" => {
            let show = match (args.metadata, args.records) {
                (true, _) => segment::Show::Metadata,
                (false, true) => segment::Show::Records,
                (false, false) => segment::Show::Batches,
            };
            segment::dump(read(path)?, base_offset(path), show, dump)
        }
        "index" | "timeindex" => {
            let segment = path.with_extension("log");
            let batches = match segment.exists() {
                true => Some(segment::scan(&read(&segment)?)),
                false => None,
            };
            let Some(base) = base_offset(path) else {
                return Err(CliError::failed(format!(
                    "{}: an index is named after its base offset, such as 00000000000000000000.{extension}",
                    path.display()
                )));
            };
            match extension {
                "index" => index::dump_offsets(&read(path)?, base, batches.as_deref(), dump),
                _ => index::dump_times(&read(path)?, base, batches.as_deref(), dump),
            }
        }
        "snapshot" => snapshot::dump(&read(path)?, dump),
        _ => Err(CliError::failed(format!(
            "{}: expected a file whose name ends in .log, .checkpoint, .index, .timeindex or .snapshot",
            path.display()
        ))),
    }
}

fn read(path: &Path) -> Result<Bytes, CliError> {
    let bytes = fs::read(path).map_err(|error| unreadable(path, &error))?;
    Ok(Bytes::from(bytes))
}

fn unreadable(path: &Path, error: &io::Error) -> CliError {
    CliError::failed(format!("{}: cannot be read: {error}", path.display()))
}

/// The offset that a file is named after.
fn base_offset(path: &Path) -> Option<i64> {
    path.file_stem()?.to_str()?.parse().ok()
}
