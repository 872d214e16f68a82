use std::io::Write;
use std::path::Path;

use proptest::prelude::*;
use virtio_bindings::virtio_config::VIRTIO_CONFIG_S_NEEDS_RESET;
use vm_memory::{Bytes, GuestAddress};

use super::*;
use crate::mock::{self, MockDriver, Piece, RAM_BASE};

const HEADER: u64 = RAM_BASE + 0x8_0000;
const STATUS: u64 = HEADER + 0x10;
const DATA: u64 = HEADER + 0x1000;
const OK: u8 = 0;
const IOERR: u8 = 1;
const UNSUPP: u8 = 2;

fn file(dir: &Path, name: &str, bytes: &[u8]) -> std::path::PathBuf {
    let path = dir.join(name);
    std::fs::File::create(&path).unwrap().write_all(bytes).unwrap();
    path
}

fn pattern(len: usize, seed: u32) -> Vec<u8> {
    (0..len as u32).map(|i| (i.wrapping_mul(2654435761) ^ seed).to_le_bytes()[2]).collect()
}

struct Bench {
    driver: MockDriver,
    path: std::path::PathBuf,
    _dir: tempfile::TempDir,
}

fn features() -> u64 {
    1 << VIRTIO_BLK_F_FLUSH | 1 << VIRTIO_BLK_F_DISCARD | 1 << VIRTIO_BLK_F_WRITE_ZEROES
}

fn bench(sectors: usize, read_only: bool, queues: u16) -> Bench {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "disk", &pattern(sectors * 512, 1));
    let disk = Disk::raw("serial-0123456789-and-more", &path, read_only, Durability::Medium);
    let blk = Blk::new(disk.unwrap(), queues).unwrap();
    let mut driver = MockDriver::new(Box::new(blk), &mock::memory(4 << 20));
    let wanted = if read_only { 1 << VIRTIO_BLK_F_RO } else { features() };
    driver.start(wanted, queues.into());
    Bench { driver, path, _dir: dir }
}

impl Bench {
    fn header(&self, kind: u32, sector: u64) {
        let memory = &self.driver.memory;
        memory.write_obj(kind, GuestAddress(HEADER)).unwrap();
        memory.write_obj(0u32, GuestAddress(HEADER + 4)).unwrap();
        memory.write_obj(sector, GuestAddress(HEADER + 8)).unwrap();
        memory.write_obj(0xffu8, GuestAddress(STATUS)).unwrap();
    }

    /// Runs one request; its status and the length in the used ring.
    fn request(&mut self, kind: u32, sector: u64, data: &[Piece]) -> (u8, u32) {
        self.header(kind, sector);
        let pieces = [&[(HEADER, 16, false)], data, &[(STATUS, 1, true)]].concat();
        self.driver.queues[0].add(&pieces);
        self.driver.notify(0);
        let (_, len) = self.driver.wait_used(0);
        (self.driver.memory.read_obj(GuestAddress(STATUS)).unwrap(), len)
    }

    fn guest(&self, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.driver.memory.read_slice(&mut bytes, GuestAddress(DATA)).unwrap();
        bytes
    }

    fn file(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }

    fn put_range(&self, at: u64, sector: u64, count: u32, flags: u32) {
        let memory = &self.driver.memory;
        memory.write_obj(sector, GuestAddress(DATA + at)).unwrap();
        memory.write_obj(count, GuestAddress(DATA + at + 8)).unwrap();
        memory.write_obj(flags, GuestAddress(DATA + at + 12)).unwrap();
    }
}

#[test]
fn reads_come_scattered_and_say_their_length() {
    let mut b = bench(64, false, 1);
    let data = [(DATA, 100, true), (DATA + 100, 412, true), (DATA + 512, 1024, true)];
    assert_eq!(b.request(VIRTIO_BLK_T_IN, 3, &data), (OK, 1537));
    assert_eq!(b.guest(1536), pattern(64 * 512, 1)[1536..3072]);
}

#[test]
fn writes_reach_the_file_and_a_flush_follows() {
    let mut b = bench(64, false, 1);
    let bytes = pattern(2048, 7);
    b.driver.memory.write_slice(&bytes, GuestAddress(DATA)).unwrap();
    let data = [(DATA, 1000, false), (DATA + 1000, 1048, false)];
    assert_eq!(b.request(VIRTIO_BLK_T_OUT, 60, &data), (OK, 1));
    assert_eq!(b.request(VIRTIO_BLK_T_FLUSH, 0, &[]), (OK, 1));
    let file = b.file();
    assert_eq!(file[60 * 512..], bytes);
    assert_eq!(file[..60 * 512], pattern(64 * 512, 1)[..60 * 512]);
}

#[test]
fn the_header_and_status_may_lie_anywhere() {
    let mut b = bench(64, false, 1);
    b.header(VIRTIO_BLK_T_IN, 0);
    // Header in two pieces; the status is the last byte of the data's piece.
    let pieces = [(HEADER, 7, false), (HEADER + 7, 9, false), (DATA, 513, true)];
    b.driver.queues[0].add(&pieces);
    b.driver.notify(0);
    assert_eq!(b.driver.wait_used(0), (0, 513));
    let bytes = b.guest(513);
    assert_eq!(bytes[..512], pattern(64 * 512, 1)[..512]);
    assert_eq!(bytes[512], OK);
}

#[test]
fn what_is_not_on_the_disk_is_an_io_error() {
    let mut b = bench(64, false, 1);
    for (kind, writable) in [(VIRTIO_BLK_T_IN, true), (VIRTIO_BLK_T_OUT, false)] {
        for (sector, len) in
            [(64, 512), (63, 1024), (u64::MAX, 512), (u64::MAX / 512, 512), (0, 511)]
        {
            let (status, _) = b.request(kind, sector, &[(DATA, len, writable)]);
            assert_eq!(status, IOERR, "kind {kind} sector {sector} length {len}");
        }
    }
    assert_eq!(b.request(VIRTIO_BLK_T_IN, 0, &[(0x1000, 512, true)]).0, IOERR, "no such memory");
    assert_eq!(b.request(77, 0, &[]).0, UNSUPP);
    assert_eq!(b.file(), pattern(64 * 512, 1));
}

#[test]
fn a_read_only_disk_cannot_be_changed() {
    let mut b = bench(64, true, 1);
    b.put_range(0, 0, 8, 0);
    for kind in [VIRTIO_BLK_T_OUT, VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES] {
        assert_eq!(b.request(kind, 0, &[(DATA, 512, false)]).0, IOERR);
    }
    assert_eq!(b.request(VIRTIO_BLK_T_FLUSH, 0, &[]).0, OK);
    assert_eq!(b.file(), pattern(64 * 512, 1));
}

/// 5.2.6: 20 bytes, zero-padded, not terminated.
#[test]
fn the_serial_is_cut_to_20_bytes() {
    let mut b = bench(8, false, 1);
    assert_eq!(b.request(VIRTIO_BLK_T_GET_ID, 0, &[(DATA, 20, true)]), (OK, 21));
    assert_eq!(b.guest(20), b"serial-0123456789-an");
}

#[test]
fn zeroes_and_discards_do_their_ranges_or_nothing() {
    let mut b = bench(64, false, 1);
    b.put_range(0, 8, 8, 1);
    b.put_range(16, 24, 3, 0);
    assert_eq!(b.request(VIRTIO_BLK_T_WRITE_ZEROES, 0, &[(DATA, 32, false)]).0, OK);
    let mut expected = pattern(64 * 512, 1);
    expected[8 * 512..16 * 512].fill(0);
    expected[24 * 512..27 * 512].fill(0);
    assert_eq!(b.file(), expected);

    b.put_range(0, 32, 8, 0);
    b.put_range(16, 60, 8, 0);
    for kind in [VIRTIO_BLK_T_DISCARD, VIRTIO_BLK_T_WRITE_ZEROES] {
        assert_eq!(b.request(kind, 0, &[(DATA, 32, false)]).0, IOERR, "the second is too long");
        assert_eq!(b.request(kind, 0, &[(DATA, 17, false)]).0, IOERR);
        assert_eq!(b.request(kind, 0, &[]).0, IOERR);
    }
    b.put_range(0, 32, 8, 1);
    assert_eq!(b.request(VIRTIO_BLK_T_DISCARD, 0, &[(DATA, 16, false)]).0, UNSUPP);
    b.put_range(0, 32, MAX_RANGE_SECTORS + 1, 0);
    assert_eq!(b.request(VIRTIO_BLK_T_DISCARD, 0, &[(DATA, 16, false)]).0, IOERR);
    assert_eq!(b.file(), expected);
    b.put_range(0, 32, 8, 0);
    assert_eq!(b.request(VIRTIO_BLK_T_DISCARD, 0, &[(DATA, 16, false)]).0, OK);
    assert_eq!(b.file().len(), 64 * 512);
}

#[test]
fn requests_without_room_for_a_status_come_back_empty() {
    let mut b = bench(8, false, 1);
    b.header(VIRTIO_BLK_T_IN, 0);
    for pieces in [
        vec![(HEADER, 16, false)],
        vec![(HEADER, 15, false), (STATUS, 1, true)],
        vec![(STATUS, 1, true)],
        vec![(DATA, 0, true), (HEADER, 0, false)],
    ] {
        b.driver.queues[0].add(&pieces);
        b.driver.notify(0);
        assert_eq!(b.driver.wait_used(0).1, 0, "{pieces:?}");
    }
    assert_eq!(b.driver.r(0x70) & VIRTIO_CONFIG_S_NEEDS_RESET, 0);
}

#[test]
fn many_requests_on_several_queues_are_in_flight_at_once() {
    let mut b = bench(4096, false, 3);
    let memory = b.driver.memory.clone();
    // 16 writes a queue of one sector each, all offered before the first doorbell.
    for queue in 0..3u64 {
        for i in 0..16u64 {
            let slot = queue * 16 + i;
            let header = RAM_BASE + 0x10_0000 + slot * 0x400;
            let (status, data) = (header + 16, header + 0x200);
            memory.write_obj(VIRTIO_BLK_T_OUT, GuestAddress(header)).unwrap();
            memory.write_obj(slot * 7, GuestAddress(header + 8)).unwrap();
            memory.write_slice(&pattern(512, slot as u32 + 9), GuestAddress(data)).unwrap();
            b.driver.queues[queue as usize].add(&[
                (header, 16, false),
                (data, 512, false),
                (status, 1, true),
            ]);
        }
    }
    for queue in 0..3 {
        b.driver.notify(queue);
    }
    for queue in 0..3 {
        let mut heads: Vec<_> = (0..16).map(|_| b.driver.wait_used(queue).0).collect();
        heads.sort();
        assert_eq!(heads, (0..16).map(|i| i * 3).collect::<Vec<_>>());
    }
    let file = b.file();
    for slot in 0..48usize {
        let at = slot * 7 * 512;
        assert_eq!(file[at..at + 512], pattern(512, slot as u32 + 9), "slot {slot}");
    }
}

#[test]
fn a_quiesced_disk_has_nothing_in_flight_and_goes_on_from_its_state() {
    let mut b = bench(64, false, 1);
    b.driver.memory.write_slice(&pattern(512, 5), GuestAddress(DATA)).unwrap();
    b.header(VIRTIO_BLK_T_OUT, 1);
    b.driver.queues[0].add(&[(HEADER, 16, false), (DATA, 512, false), (STATUS, 1, true)]);
    b.driver.notify(0);
    b.driver.transport.quiesce(mock::LONG).unwrap();
    assert_eq!(b.driver.queues[0].used_idx(), 1, "finished and published");
    assert_eq!(b.file()[512..1024], pattern(512, 5));
    let state = b.driver.transport.save().unwrap();
    let Bench { driver, path, _dir } = b;
    let MockDriver { transport, worker, memory, queues, .. } = driver;
    drop(transport);
    drop(worker);
    let disk = Disk::raw("d", &path, false, Durability::HostCache).unwrap();
    let blk = Blk::new(disk, 1).unwrap();
    let mut driver = MockDriver::from_state(Box::new(blk), &memory, &state);
    driver.queues = queues;
    driver.transport.resume(true);
    let mut b = Bench { driver, path, _dir };
    b.driver.wait_used(0);
    assert_eq!(b.request(VIRTIO_BLK_T_IN, 1, &[(DATA, 512, true)]).0, OK);
    assert_eq!(b.guest(512), pattern(512, 5));
}

#[test]
fn a_disk_that_does_not_answer_ends_the_pause_and_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = file(dir.path(), "disk", &[0; 4096]);
    let disk = Disk::raw("slow", &path, false, Durability::Medium).unwrap();
    let blk = Blk::new(disk, 1).unwrap();
    let shared = blk.pool.shared.clone();
    let mut driver = MockDriver::new(Box::new(blk), &mock::memory(4 << 20));
    driver.start(features(), 1);
    let mut b = Bench { driver, path, _dir: dir };
    // A request that an I/O thread has taken and the host does not get done.
    shared.lock().in_flight += 1;
    let refused = b.driver.transport.quiesce(Duration::from_millis(5)).unwrap_err();
    assert!(matches!(&refused, Error::Busy { device, .. } if device == "disk slow"), "{refused}");
    b.driver.memory.write_slice(&pattern(512, 5), GuestAddress(DATA)).unwrap();
    assert_eq!(b.request(VIRTIO_BLK_T_OUT, 0, &[(DATA, 512, false)]).0, OK);
    shared.lock().in_flight -= 1;
    b.driver.transport.quiesce(mock::LONG).unwrap();
    b.driver.transport.resume(false);
    assert_eq!(b.request(VIRTIO_BLK_T_IN, 0, &[(DATA, 512, true)]).0, OK);
    assert_eq!(b.guest(512), pattern(512, 5));
}

#[test]
fn a_panic_of_an_io_thread_is_the_workers_and_holds_up_nobody() {
    let (failed, failure) = channel();
    let worker = crate::Worker::spawn("mock", move |cause| failed.send(cause).unwrap()).unwrap();
    let memory = mock::memory(4 << 20);
    let sink = Arc::new(mock::CountingSink::default());
    let line = devices::IrqLine::new(40, devices::Trigger::Level, sink.clone());
    let (blk, state) = (Blk::new(Disk::that_panics(), 1).unwrap(), crate::VirtioState::default());
    let transport =
        crate::MmioTransport::new(Box::new(blk), &worker, memory.clone(), line, &state).unwrap();
    let mut driver = MockDriver { transport, worker, memory, sink, queues: Vec::new() };
    driver.start(1 << VIRTIO_BLK_F_RO, 1);
    let path = std::path::PathBuf::new();
    let mut b = Bench { driver, path, _dir: tempfile::tempdir().unwrap() };
    b.header(VIRTIO_BLK_T_IN, 0);
    // More than the worker does itself.
    b.driver.queues[0].add(&[(HEADER, 16, false), (DATA, 512 << 10, true), (STATUS, 1, true)]);
    b.driver.notify(0);
    let cause = failure.recv_timeout(mock::LONG).unwrap();
    assert!(cause.contains("out of range"), "{cause}");
    let refused = b.driver.transport.quiesce(mock::LONG);
    assert!(matches!(refused, Err(Error::WorkerGone { .. })), "{refused:?}");
}

#[test]
fn the_configuration_is_as_5_2_4_lays_it_out() {
    let b = bench(4096, false, 3);
    let config = |at: u32| b.driver.r(0x100 + at);
    assert_eq!(config(0), 4096);
    assert_eq!(config(4), 0);
    assert_eq!(config(20), 512);
    assert_eq!(config(32) >> 16, 3, "num_queues");
    assert_eq!(config(36), MAX_RANGE_SECTORS);
    assert_ne!(b.driver.offered() & 1 << VIRTIO_BLK_F_MQ, 0);
    assert_eq!(bench(8, true, 1).driver.offered() & 1 << VIRTIO_BLK_F_RO, 1 << VIRTIO_BLK_F_RO);
}

#[test]
fn the_driver_chooses_the_cache_mode_and_a_reset_undoes_it() {
    let mut b = bench(64, false, 1);
    b.driver.start(1 << VIRTIO_BLK_F_FLUSH | 1 << VIRTIO_BLK_F_CONFIG_WCE, 1);
    let _ = devices::MmioDevice::write(
        &b.driver.transport,
        devices::Access::new(0x120, devices::Width::Byte),
        0,
    );
    b.driver.memory.write_slice(&pattern(512, 3), GuestAddress(DATA)).unwrap();
    assert_eq!(b.request(VIRTIO_BLK_T_OUT, 0, &[(DATA, 512, false)]).0, OK);
    assert_eq!(b.driver.transport.save().unwrap().config, [0]);
    b.driver.w(0x70, 0);
    assert_eq!(b.driver.transport.save().unwrap().config, [1]);
}

#[test]
fn unusable_files_are_told_in_one_sentence() {
    let dir = tempfile::tempdir().unwrap();
    let missing = Disk::raw("d", &dir.path().join("none"), true, Durability::Medium);
    assert!(missing.unwrap_err().to_string().ends_with("check its name and permissions"));
    let odd = file(dir.path(), "odd", &[1; 700]);
    assert!(matches!(
        Disk::raw("d", &odd, false, Durability::Medium),
        Err(Error::DiskLayout { .. })
    ));
    let padded = Disk::raw("d", &odd, true, Durability::Medium).unwrap();
    let mut tail = [9; 512];
    padded.read(512, &mut tail).unwrap();
    assert_eq!(tail[..188], [1; 188]);
    assert_eq!(tail[188..], [0; 324]);

    let whole = file(dir.path(), "whole", &[1; 1024]);
    let reader = Disk::raw("d", &whole, true, Durability::Medium).unwrap();
    let second_reader = Disk::raw("d", &whole, true, Durability::Medium).unwrap();
    assert!(matches!(
        Disk::raw("d", &whole, false, Durability::Medium),
        Err(Error::Disk { what, .. }) if what.contains("in use")
    ));
    drop((reader, second_reader));
    let _writer = Disk::raw("d", &whole, false, Durability::Medium).unwrap();
    assert!(Disk::raw("d", &whole, true, Durability::Medium).is_err());
}

/// Read back by an independent implementation of the format.
#[test]
fn a_composite_disk_is_a_guid_partition_table_over_its_files() {
    let dir = tempfile::tempdir().unwrap();
    let contents = [pattern(5000, 1), pattern(1 << 20, 2), pattern(512, 3)];
    let parts: Vec<_> = contents
        .iter()
        .enumerate()
        .map(|(i, bytes)| Part {
            path: file(dir.path(), &format!("part{i}"), bytes),
            label: format!("layer-{i}"),
        })
        .collect();
    let disk = Disk::composite("layers", &parts).unwrap();
    let mut image = vec![0xaa; disk.len() as usize];
    disk.read(0, &mut image).unwrap();
    // Any other way of cutting the reads gives the same bytes.
    for (at, len) in [(0, 17), (500, 3000), (1 << 20, 5200), ((1 << 20) + 4990, 600)] {
        let mut piece = vec![0x55; len];
        disk.read(at as u64, &mut piece).unwrap();
        assert_eq!(piece, image[at..at + len]);
    }
    let device = std::io::Cursor::new(image.clone());
    let table = ::gpt::GptConfig::new().writable(false).open_from_device(device).unwrap();
    assert!(table.primary_header().is_ok() && table.backup_header().is_ok());
    let partitions: Vec<_> = table.partitions().values().collect();
    assert_eq!(partitions.len(), 3);
    for (i, partition) in partitions.iter().enumerate() {
        assert_eq!(partition.name, format!("layer-{i}"));
        assert_eq!(partition.part_type_guid, ::gpt::partition_types::LINUX_FS);
        let start = partition.first_lba as usize * 512;
        let end = (partition.last_lba as usize + 1) * 512;
        assert_eq!(end - start, contents[i].len().next_multiple_of(512));
        assert_eq!(image[start..][..contents[i].len()], contents[i]);
        assert!(image[start + contents[i].len()..end].iter().all(|b| *b == 0));
    }
    let same = Disk::composite("layers", &parts).unwrap();
    let mut again = vec![0; same.len() as usize];
    same.read(0, &mut again).unwrap();
    assert_eq!(again, image);
}

#[test]
fn a_composite_disk_cannot_have_no_part_or_too_many() {
    let dir = tempfile::tempdir().unwrap();
    let part = Part { path: file(dir.path(), "p", &[1; 512]), label: "p".into() };
    let empty = Part { path: file(dir.path(), "e", &[]), label: "e".into() };
    let long = Part { label: "x".repeat(37), ..part.clone() };
    for parts in [vec![], vec![part.clone(); 256], vec![empty], vec![long]] {
        assert!(matches!(Disk::composite("d", &parts), Err(Error::DiskLayout { .. })));
    }
    assert!(Disk::composite("d", &vec![part; 255]).is_ok());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Requests of any shape leave the device at work and never write outside of what they name.
    #[test]
    fn any_request_is_answered(
        requests in prop::collection::vec(
            (0u32..17, 0u64..80, prop::collection::vec((0u64..0x3000, 0u32..3000, any::<bool>()), 0..5)),
            1..12,
        ),
    ) {
        let mut b = bench(64, false, 1);
        for (kind, sector, shape) in requests {
            b.header(kind, sector);
            let mut pieces = vec![(HEADER, 16, false)];
            pieces.extend(shape.iter().map(|&(at, len, w)| (DATA + at, len, w)));
            pieces.push((STATUS, 1, true));
            b.driver.queues[0].add(&pieces);
            b.driver.notify(0);
            b.driver.wait_used(0);
        }
        prop_assert_eq!(b.file().len(), 64 * 512);
        prop_assert_eq!(b.request(VIRTIO_BLK_T_IN, 0, &[(DATA, 512, true)]).0, OK);
    }

    /// Reads and writes agree with a plain array.
    #[test]
    fn a_disk_remembers(
        ops in prop::collection::vec((any::<bool>(), 0u64..64, 1u64..8, any::<u32>()), 1..20),
    ) {
        let mut b = bench(64, false, 1);
        let mut model = pattern(64 * 512, 1);
        for (write, sector, count, seed) in ops {
            let count = count.min(64 - sector);
            let range = (sector * 512) as usize..((sector + count) * 512) as usize;
            if write {
                let bytes = pattern(range.len(), seed);
                b.driver.memory.write_slice(&bytes, GuestAddress(DATA)).unwrap();
                model[range.clone()].copy_from_slice(&bytes);
                let data = [(DATA, range.len() as u32, false)];
                prop_assert_eq!(b.request(VIRTIO_BLK_T_OUT, sector, &data).0, OK);
            } else {
                let data = [(DATA, range.len() as u32, true)];
                prop_assert_eq!(b.request(VIRTIO_BLK_T_IN, sector, &data).0, OK);
                prop_assert_eq!(&b.guest(range.len())[..], &model[range]);
            }
        }
        prop_assert_eq!(b.file(), model);
    }
}
