//! The disk seam over a real file system, with direct I/O and through the page cache.

use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use corelog::disk::{BLOCK, Blocks, Disk, DiskBuf, DiskErrorKind, DiskFile, OpenMode, WriteSync};
use corelog::rt::file::{DirectDisk, DirectIo, probe};
use corelog::rt::panic;
use corelog::rt::task::{spawn, yield_now};
use corelog::rt::time::{monotonic_now, sleep};
use corelog::types::Prng;
use tempfile::TempDir;

use super::support::{child, is_child, run, text};

/// A directory on the disk that the tests run from; /tmp may be in memory.
fn directory() -> TempDir {
    TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap()
}

/// Runs a test with direct I/O and with the page cache, each on an executor of its own.
fn on_both<Fut: Future<Output = ()> + 'static>(test: fn(DirectDisk, PathBuf) -> Fut) {
    for buffered in [false, true] {
        let dir = directory();
        let path = dir.path().to_owned();
        run(move || async move {
            let disk = if buffered { DirectDisk::buffered() } else { DirectDisk::new() };
            test(disk, path).await;
        });
    }
}

/// A frozen buffer of `blocks` blocks that differ from each other and from those of other seeds.
fn filled(disk: &DirectDisk, blocks: usize, seed: u64) -> <<DirectDisk as Disk>::Buf as DiskBuf>::Shared {
    let mut buf = disk.alloc(blocks * BLOCK);
    Prng::new(seed).fill(buf.as_mut_slice());
    buf.freeze()
}

fn random(len: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; len];
    Prng::new(seed).fill(&mut bytes);
    bytes
}

#[test]
fn what_is_written_is_read_at_any_alignment() {
    on_both(|disk, dir| async move {
        let file = disk.open(&dir.join("log"), OpenMode::CreateNew).await.unwrap();
        assert_eq!(file.read_at(0, 100).await.unwrap(), Bytes::new());
        let mut position = 0;
        for (seed, sync) in [(1, WriteSync::None), (2, WriteSync::Data), (3, WriteSync::None)] {
            let written = file.write_at(filled(&disk, 320, seed), position, sync).await.unwrap();
            assert_eq!(written, 320 * BLOCK);
            position += written as u64;
        }
        file.sync_data().await.unwrap();
        file.truncate(position - 777).await.unwrap();
        assert_eq!(file.len().await.unwrap(), position - 777);

        let mut expected = [random(320 * BLOCK, 1), random(320 * BLOCK, 2), random(320 * BLOCK, 3)].concat();
        expected.truncate(expected.len() - 777);
        let mut prng = Prng::new(4);
        let mut ranges = vec![(0, expected.len()), (0, 1), (expected.len() - 1, 5_000), (BLOCK - 1, 2)];
        ranges.extend((0..100).map(|_| (prng.below(4_000_000) as usize, prng.below(40_000) as usize)));
        for (from, len) in ranges {
            let from = from.min(expected.len());
            let end = expected.len().min(from + len);
            let read = file.read_at(from as u64, len).await.unwrap();
            assert!(read == expected[from..end], "{len} bytes from {from} on");
        }
        file.close().await.unwrap();

        let file = disk.open(&dir.join("log"), OpenMode::Read).await.unwrap();
        assert_eq!(file.read_at(1, 9).await.unwrap(), expected[1..10]);
    });
}

#[test]
fn blocks_are_written_while_their_buffer_is_filled() {
    on_both(|disk, dir| async move {
        let file = Rc::new(disk.open(&dir.join("journal"), OpenMode::CreateNew).await.unwrap());
        let mut front = disk.alloc(BLOCK);
        Prng::new(1).fill(front.as_mut_slice());
        let mut gathered = disk.alloc(4 * BLOCK);
        Prng::new(2).fill(&mut gathered.as_mut_slice()[..3 * BLOCK]);
        let blocks = [front.blocks(0..BLOCK), gathered.blocks(BLOCK..3 * BLOCK)];
        drop(front);
        let write = spawn({
            let (file, blocks) = (Rc::clone(&file), blocks.clone());
            async move { file.write_blocks_at(&blocks, BLOCK as u64, WriteSync::Data).await.unwrap() }
        });
        yield_now().await;
        gathered.as_mut_slice()[3 * BLOCK..].fill(3);
        gathered.as_mut_slice()[..BLOCK].fill(4);
        assert_eq!(write.await, 3 * BLOCK);
        drop(gathered);

        let [_, mut rest] = blocks;
        rest.advance(BLOCK);
        assert_eq!(rest.byte_count(), BLOCK);
        assert_eq!(file.write_blocks_at(&[rest], 0, WriteSync::None).await.unwrap(), BLOCK);
        let gathered = random(3 * BLOCK, 2);
        let expected = [&gathered[2 * BLOCK..], &random(BLOCK, 1), &gathered[BLOCK..]].concat();
        assert!(file.read_at(0, 5 * BLOCK).await.unwrap() == expected);
    });
}

#[test]
fn the_page_cache_fills_on_demand() {
    on_both(|disk, dir| async move {
        let path = dir.join("log");
        let file = disk.open(&path, OpenMode::CreateNew).await.unwrap();
        for (part, seed) in [(0, 1), (1, 2)] {
            let position = part * (320 * BLOCK) as u64;
            file.write_at(filled(&disk, 320, seed), position, WriteSync::Data).await.unwrap();
        }
        let expected = [random(320 * BLOCK, 1), random(320 * BLOCK, 2)].concat();
        let (from, len) = (5_000, 2 * 320 * BLOCK - 5_001);
        if file.is_direct() {
            assert!(file.page_cached_now(from, len).is_none(), "a direct write leaves nothing there");
        }
        file.read_ahead(from, len);
        let begin = monotonic_now();
        let slice = loop {
            match file.page_cached_now(from, len) {
                Some(slice) => break slice,
                None => assert!(begin.elapsed() < Duration::from_secs(10), "nothing was read ahead"),
            }
            sleep(Duration::from_millis(1)).await;
        };
        let header = file.read_page_cached(from, 100).unwrap();
        assert!(header == expected[from as usize..][..100]);
        assert!(file.page_cached_now(from, len + 2).is_none(), "not beyond the end of the file");

        // A later write elsewhere, and the end of the name, leave what was promised.
        file.write_at(filled(&disk, 1, 3), 640 * BLOCK as u64, WriteSync::Data).await.unwrap();
        disk.remove_file(&path).await.unwrap();
        drop(file);
        let mut sent = vec![0; slice.len()];
        let count = rustix::io::pread(slice.file(), &mut sent[..], slice.position()).unwrap();
        assert!(count == len && sent == expected[from as usize..][..len]);
    });
}

#[test]
fn what_the_page_cache_lacks_is_waited_for() {
    on_both(|disk, dir| async move {
        // The kernel takes advice as it sees fit: now and then, on a busy machine, it reads only what is
        // waited for. Advice that it cuts off is cut off every time.
        for attempt in 0..5 {
            if ranges_with_holes(&disk, &dir.join(attempt.to_string())).await == 0 {
                return;
            }
        }
        panic!("much of what was waited for is not there, five times out of five");
    });
}

/// How many ranges of a new file have holes after they were waited for.
async fn ranges_with_holes(disk: &DirectDisk, path: &Path) -> usize {
    let file = disk.open(path, OpenMode::CreateNew).await.unwrap();
    // More than the kernel takes advice about at a time.
    const BLOCKS: usize = 4_000;
    for part in 0..4 {
        let position = part * (BLOCKS / 4 * BLOCK) as u64;
        file.write_at(filled(disk, BLOCKS / 4, part + 1), position, WriteSync::Data).await.unwrap();
    }
    let expected = [1, 2, 3, 4].map(|seed| random(BLOCKS / 4 * BLOCK, seed)).concat();
    let (from, mut with_holes) = (5_000, 0);
    for len in [1, 100_000, BLOCKS * BLOCK - from] {
        let slice = file.page_cached(from as u64, len).await.unwrap();
        let (mut pages, mut missing) = (0, 0);
        for at in (from..from + len).step_by(BLOCK) {
            let mut byte = [0];
            let mut buffers = [std::io::IoSliceMut::new(&mut byte)];
            let flags = rustix::io::ReadWriteFlags::NOWAIT;
            let read = rustix::io::preadv2(slice.file(), &mut buffers, at as u64, flags);
            pages += 1;
            missing += usize::from(read.is_err());
            assert!(read.is_err() || byte[0] == expected[at], "at {at}");
        }
        // Not each page is looked at: single ones may still be on their way.
        with_holes += usize::from(pages < missing * 20);
    }
    assert!(file.page_cached(from as u64, BLOCKS * BLOCK).await.is_none(), "beyond the end");
    with_holes
}

#[test]
fn nothing_is_read_at_the_end_however_many_reads_are_held() {
    on_both(|disk, dir| async move {
        let file = disk.open(&dir.join("log"), OpenMode::CreateNew).await.unwrap();
        file.write_at(filled(&disk, 64, 1), 0, WriteSync::None).await.unwrap();
        // glommio registers buffers of 10 MiB in all; small reads take the last of them.
        let mut held = Vec::new();
        for (blocks, reads) in [(64, 50), (1, 2_000)] {
            for _ in 0..reads {
                held.push(file.read_at(0, blocks * BLOCK).await.unwrap());
            }
            assert_eq!(file.read_at(64 * BLOCK as u64, 100).await.unwrap(), Bytes::new());
        }
        assert_eq!(held.len(), 2_050);
    });
}

#[test]
fn the_first_file_of_an_executor_does_not_busy_poll() {
    // With glommio's own probe, an empty file that may be read turns busy-polling on: reads then fail
    // with EOPNOTSUPP, or the core spins while a write is in flight.
    on_both(|disk, dir| async move {
        let file = disk.open(&dir.join("first"), OpenMode::CreateNew).await.unwrap();
        file.write_at(filled(&disk, 16, 1), 0, WriteSync::None).await.unwrap();
        assert_eq!(file.read_at(0, 16 * BLOCK).await.unwrap(), random(16 * BLOCK, 1));
        let start = monotonic_now();
        for round in 1..50 {
            file.write_at(filled(&disk, 16, 1), round * 65_536, WriteSync::None).await.unwrap();
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        let entries = disk.list(&dir).await.unwrap();
        assert_eq!(entries.len(), 1, "the probe leaves nothing behind: {entries:?}");
    });
}

#[test]
fn direct_io_is_used_where_it_works() {
    let dir = directory();
    assert_eq!(probe(dir.path()).unwrap(), DirectIo::Supported, "the tests run on a disk with direct I/O");
    assert!(std::fs::read_dir(dir.path()).unwrap().next().is_none());
    run(move || async move {
        for (disk, direct) in [(DirectDisk::new(), true), (DirectDisk::buffered(), false)] {
            let file = disk.open(&dir.path().join(format!("{direct}")), OpenMode::CreateNew).await.unwrap();
            assert_eq!(file.is_direct(), direct);
        }
    });
    // A file system without storage has no directory to try in.
    assert!(probe(Path::new("/proc")).is_err());
}

#[test]
fn each_mode_opens_what_it_says() {
    on_both(|disk, dir| async move {
        let path = dir.join("log");
        for mode in [OpenMode::Read, OpenMode::Write] {
            assert!(disk.open(&path, mode).await.unwrap_err().is_not_found());
        }
        disk.open(&path, OpenMode::CreateNew).await.unwrap();
        let error = disk.open(&path, OpenMode::CreateNew).await.unwrap_err();
        assert_eq!(error.kind, DiskErrorKind::AlreadyExists);
        let file = disk.open(&path, OpenMode::Read).await.unwrap();
        let error = file.write_at(filled(&disk, 1, 1), 0, WriteSync::None).await.unwrap_err();
        assert_eq!(error.kind, DiskErrorKind::Os(libc::EBADF));
        disk.open(&path, OpenMode::Write).await.unwrap().close().await.unwrap();
    });
}

#[test]
fn names_are_listed_replaced_and_removed() {
    on_both(|disk, dir| async move {
        let nested = dir.join("a/b");
        disk.create_dir_all(&nested).await.unwrap();
        disk.create_dir_all(&nested).await.unwrap();
        disk.replace_file(&dir.join("checkpoint"), b"old").await.unwrap();
        disk.replace_file(&dir.join("checkpoint"), b"newer").await.unwrap();
        assert_eq!(disk.read_file(&dir.join("checkpoint"), 5).await.unwrap(), b"newer");
        let error = disk.read_file(&dir.join("checkpoint"), 4).await.unwrap_err();
        assert_eq!(error.kind, DiskErrorKind::TooLarge);
        let entries: Vec<_> = disk.list(&dir).await.unwrap().into_iter().collect();
        let entries: Vec<_> =
            entries.iter().map(|entry| (&entry.name[..], entry.is_dir, entry.len)).collect();
        assert_eq!(entries, [("a", true, 0), ("checkpoint", false, 5)]);
        disk.sync_dir(&dir).await.unwrap();
        disk.rename(&dir.join("a"), &dir.join("c")).await.unwrap();
        assert!(disk.list(&nested).await.unwrap_err().is_not_found());
        assert!(disk.remove_file(&dir.join("none")).await.unwrap_err().is_not_found());
        disk.remove_file(&dir.join("checkpoint")).await.unwrap();
        disk.remove_dir_all(&dir.join("c")).await.unwrap();
        assert!(disk.list(&dir).await.unwrap().is_empty());
    });
}

#[test]
fn an_open_file_follows_its_rename() {
    on_both(|disk, dir| async move {
        disk.create_dir_all(&dir.join("t-0")).await.unwrap();
        let file = disk.open(&dir.join("t-0/log"), OpenMode::CreateNew).await.unwrap();
        file.write_at(filled(&disk, 1, 1), 0, WriteSync::None).await.unwrap();
        disk.rename(&dir.join("t-0"), &dir.join("t-0.delete")).await.unwrap();
        disk.create_dir_all(&dir.join("t-0")).await.unwrap();
        let other = disk.open(&dir.join("t-0/log"), OpenMode::CreateNew).await.unwrap();
        // The descriptor for durable writes is opened only now.
        file.write_at(filled(&disk, 2, 2), BLOCK as u64, WriteSync::Data).await.unwrap();
        assert_eq!(file.len().await.unwrap(), 3 * BLOCK as u64);
        assert_eq!(other.len().await.unwrap(), 0);
    });
}

#[test]
fn files_open_while_their_directory_is_renamed() {
    // glommio panics when a name goes between its open and its look at the file system.
    on_both(|disk, dir| async move {
        let mut at = dir.join("t-0");
        disk.create_dir_all(&at).await.unwrap();
        disk.replace_file(&at.join("log"), b"x").await.unwrap();
        for round in 0..50 {
            let opens: Vec<_> = (0..4)
                .map(|_| {
                    let (disk, path) = (disk.clone(), at.join("log"));
                    spawn(async move { disk.open(&path, OpenMode::Read).await.map(drop) })
                })
                .collect();
            yield_now().await;
            let next = dir.join(format!("t-{round}.delete"));
            disk.rename(&at, &next).await.unwrap();
            at = next;
            for open in opens {
                assert!(open.await.is_ok_and(|()| true) || !at.join("none").exists());
            }
        }
    });
}

#[test]
fn buffers_go_round() {
    on_both(|disk, dir| async move {
        let file = disk.open(&dir.join("log"), OpenMode::CreateNew).await.unwrap();
        let mut addresses = std::collections::BTreeSet::new();
        for round in 0..20_u64 {
            let mut buf = disk.alloc(64 * BLOCK);
            assert_eq!(buf.as_slice().len(), 64 * BLOCK);
            assert_eq!(buf.as_slice().as_ptr() as usize % BLOCK, 0);
            addresses.insert(buf.as_slice().as_ptr() as usize);
            buf.as_mut_slice().fill(round as u8);
            buf.truncate(3 * BLOCK);
            let shared = buf.freeze();
            let view = <DirectDisk as Disk>::Buf::bytes(&shared);
            assert_eq!(view.len(), 3 * BLOCK);
            assert_eq!(
                file.write_at(shared, round * 3 * BLOCK as u64, WriteSync::Data).await.unwrap(),
                3 * BLOCK
            );
            drop(view);
        }
        assert_eq!(addresses.len(), 1, "a shortened buffer comes back at its full length");
        assert_eq!(file.read_at(57 * BLOCK as u64, BLOCK).await.unwrap(), vec![19; BLOCK]);
    });
}

#[test]
fn views_cross_cores_and_outlive_their_executor() {
    let dir = directory();
    let path = dir.path().join("log");
    let views = run(move || async move {
        let disk = DirectDisk::new();
        let file = disk.open(&path, OpenMode::CreateNew).await.unwrap();
        let shared = filled(&disk, 4, 1);
        let written = <DirectDisk as Disk>::Buf::bytes(&shared);
        file.write_at(shared, 0, WriteSync::None).await.unwrap();
        // Read, dropped elsewhere, and the memory is taken back by the next read here.
        for _ in 0..100 {
            let read = file.read_at(100, 4_000).await.unwrap();
            std::thread::spawn(move || assert_eq!(read.len(), 4_000)).join().unwrap();
        }
        let read = file.read_at(0, 4 * BLOCK).await.unwrap();
        assert_eq!(read.as_ptr() as usize % BLOCK, 0, "a view, not a copy");
        vec![written, read]
    });
    assert!(views.iter().all(|view| *view == random(4 * BLOCK, 1)));
}

#[test]
fn a_dropped_write_does_not_recycle_its_buffer() {
    on_both(|disk, dir| async move {
        let file = Rc::new(disk.open(&dir.join("log"), OpenMode::CreateNew).await.unwrap());
        for round in 0..50 {
            let writing = {
                let (disk, file) = (disk.clone(), Rc::clone(&file));
                let position = round * 262_144;
                spawn(async move { file.write_at(filled(&disk, 64, 1), position, WriteSync::None).await })
            };
            yield_now().await;
            writing.cancel().await;
            // If it were recycled, this would overwrite what the kernel still reads.
            disk.alloc(64 * BLOCK).as_mut_slice().fill(0xff);
        }
        sleep(Duration::from_millis(20)).await;
        let len = file.len().await.unwrap();
        let blocks = random(64 * BLOCK, 1);
        for position in (0..len).step_by(262_144) {
            let read = file.read_at(position, 262_144).await.unwrap();
            assert!(read == blocks || read.iter().all(|byte| *byte == 0), "at {position}");
        }
    });
}

#[test]
fn an_executor_ends_while_a_task_is_at_the_disk() {
    const NAME: &str = "rt::file::an_executor_ends_while_a_task_is_at_the_disk";
    if is_child() {
        panic::install();
        for _ in 0..20 {
            let dir = directory();
            let path = dir.path().to_owned();
            run(move || async move {
                let disk = DirectDisk::new();
                let file = disk.open(&path.join("log"), OpenMode::CreateNew).await.unwrap();
                // Both go on calling the helper thread; nobody waits for them.
                spawn(async move { while file.truncate(1_000).await.is_ok() {} }).detach();
                spawn(async move { while disk.replace_file(&path.join("small"), b"x").await.is_ok() {} })
                    .detach();
                yield_now().await;
            });
        }
        return;
    }
    let output = child(NAME, &[]).output().unwrap();
    assert!(output.status.success(), "{}", text(&output));
}

#[test]
fn a_full_device_is_told_from_other_errors() {
    run(|| async {
        let file = DirectDisk::buffered().open(Path::new("/dev/full"), OpenMode::Write).await.unwrap();
        let error = file.write_at(filled(&DirectDisk::new(), 1, 1), 0, WriteSync::None).await.unwrap_err();
        assert_eq!(error.kind, DiskErrorKind::NoSpace);
        assert_eq!(error.to_string(), "cannot write /dev/full: no space left on the device");
    });
}

#[test]
fn a_short_write_is_reported_in_whole_blocks() {
    const BLOCKS_MAX: usize = 10;
    if !is_child() {
        // A limit on the file size cuts the write that crosses it, as a full device does.
        let limit = format!("--fsize={}", BLOCKS_MAX * BLOCK + 512);
        let output = child("rt::file::a_short_write_is_reported_in_whole_blocks", &["prlimit", &limit])
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", text(&output));
        return;
    }
    let dir = directory();
    let path = dir.path().join("log");
    // SAFETY: ignoring a signal that nobody handles.
    #[expect(unsafe_code, reason = "the limit also sends a signal")]
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN)
    };
    run(move || async move {
        let disk = DirectDisk::new();
        let file = disk.open(&path, OpenMode::CreateNew).await.unwrap();
        for sync in [WriteSync::None, WriteSync::Data] {
            let written = file.write_at(filled(&disk, 8, 1), 6 * BLOCK as u64, sync).await.unwrap();
            assert_eq!(written, 4 * BLOCK);
            let error = file.write_at(filled(&disk, 8, 1), 10 * BLOCK as u64, sync).await.unwrap_err();
            assert_eq!(error.kind, DiskErrorKind::NoSpace);
        }
        let error = file.write_at(filled(&disk, 1, 1), 11 * BLOCK as u64, WriteSync::None).await.unwrap_err();
        assert_eq!(error.kind, DiskErrorKind::Os(libc::EFBIG));
    });
}
