//! Packets of the socket device (virtio 1.2, 5.10.6).

/// The host's context ID (5.10.4).
pub const HOST_CID: u64 = 2;
/// Length of a packet's header in bytes.
pub(super) const HEADER_LEN: u32 = 44;

/// VIRTIO_VSOCK_TYPE_STREAM.
pub(super) const STREAM: u16 = 1;

/// Operations (5.10.6).
pub(super) mod op {
    pub(in crate::vsock) const REQUEST: u16 = 1;
    pub(in crate::vsock) const RESPONSE: u16 = 2;
    pub(in crate::vsock) const RST: u16 = 3;
    pub(in crate::vsock) const SHUTDOWN: u16 = 4;
    pub(in crate::vsock) const RW: u16 = 5;
    pub(in crate::vsock) const CREDIT_UPDATE: u16 = 6;
    pub(in crate::vsock) const CREDIT_REQUEST: u16 = 7;
}

/// Flag of SHUTDOWN: the sender receives no more.
pub(super) const SHUT_RECEIVE: u32 = 1;
/// Flag of SHUTDOWN: the sender sends no more.
pub(super) const SHUT_SEND: u32 = 2;
pub(super) const SHUT_BOTH: u32 = SHUT_RECEIVE | SHUT_SEND;

/// `struct virtio_vsock_hdr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Header {
    pub(super) src_cid: u64,
    pub(super) dst_cid: u64,
    pub(super) src_port: u32,
    pub(super) dst_port: u32,
    /// Bytes after the header.
    pub(super) len: u32,
    pub(super) kind: u16,
    pub(super) op: u16,
    pub(super) flags: u32,
    pub(super) buf_alloc: u32,
    pub(super) fwd_cnt: u32,
}

impl Header {
    pub(super) fn from_bytes(bytes: &[u8; HEADER_LEN as usize]) -> Self {
        fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
            let mut field = [0; N];
            let (head, tail) = rest.split_at(N);
            field.copy_from_slice(head);
            *rest = tail;
            field
        }
        let mut rest = &bytes[..];
        Self {
            src_cid: u64::from_le_bytes(take(&mut rest)),
            dst_cid: u64::from_le_bytes(take(&mut rest)),
            src_port: u32::from_le_bytes(take(&mut rest)),
            dst_port: u32::from_le_bytes(take(&mut rest)),
            len: u32::from_le_bytes(take(&mut rest)),
            kind: u16::from_le_bytes(take(&mut rest)),
            op: u16::from_le_bytes(take(&mut rest)),
            flags: u32::from_le_bytes(take(&mut rest)),
            buf_alloc: u32::from_le_bytes(take(&mut rest)),
            fwd_cnt: u32::from_le_bytes(take(&mut rest)),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; HEADER_LEN as usize] {
        let mut bytes = Vec::with_capacity(HEADER_LEN as usize);
        bytes.extend(self.src_cid.to_le_bytes());
        bytes.extend(self.dst_cid.to_le_bytes());
        bytes.extend(self.src_port.to_le_bytes());
        bytes.extend(self.dst_port.to_le_bytes());
        bytes.extend(self.len.to_le_bytes());
        bytes.extend(self.kind.to_le_bytes());
        bytes.extend(self.op.to_le_bytes());
        bytes.extend(self.flags.to_le_bytes());
        bytes.extend(self.buf_alloc.to_le_bytes());
        bytes.extend(self.fwd_cnt.to_le_bytes());
        let mut header = [0; HEADER_LEN as usize];
        header.copy_from_slice(&bytes);
        header
    }
}
