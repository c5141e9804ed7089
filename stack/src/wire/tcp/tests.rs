use super::*;
use core::net::Ipv4Addr;

const SRC: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 1));
const DST: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 9, 0, 2));
const TIMESTAMPS: Timestamps = Timestamps { value: 0x0102_0304, echo: 0x0506_0708 };

/// RFC 9293 section 3.1 (MUST-69): NOPs fill the words, so that nothing is left to pad.
#[test]
fn a_syn_has_the_layout_of_linux() {
    let options = Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(Timestamps { echo: 0, ..TIMESTAMPS }),
        ..Options::default()
    };
    assert_eq!(
        written(options),
        [2, 4, 0x05, 0xb4, 4, 2, 8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 3, 3, 7],
        "MSS, SACK permitted, timestamps, NOP, window scale"
    );
    let without_timestamps = Options { timestamps: None, ..options };
    assert_eq!(written(without_timestamps), [2, 4, 0x05, 0xb4, 1, 1, 4, 2, 1, 3, 3, 7]);
}

#[test]
fn an_ack_has_the_layout_of_linux() {
    let options = Options { timestamps: Some(TIMESTAMPS), sack: blocks(1), ..Options::default() };
    assert_eq!(
        written(options),
        [[1, 1, 8, 10, 1, 2, 3, 4, 5, 6, 7, 8].as_slice(), &[1, 1, 5, 10, 0, 0, 0, 100, 0, 0, 0, 150],]
            .concat()
    );
}

#[test]
fn sack_blocks_that_do_not_fit_are_left_out() {
    let alone = Options { sack: blocks(4), ..Options::default() };
    let beside = Options { timestamps: Some(TIMESTAMPS), ..alone };
    assert_eq!((alone.sack_capacity(), alone.len()), (4, 36));
    assert_eq!((beside.sack_capacity(), beside.len()), (3, 40));
    assert_eq!(read(&written(beside)), Ok(Options { sack: blocks(3), ..beside }));
}

/// RFC 9293 section 3.1 (MUST-6, MUST-68).
#[test]
fn unknown_options_are_skipped() {
    let multipath = [30, 4, 9, 9];
    let experiment = [254, 4, 0xe2, 0xd4];
    let bytes = [&multipath[..], &[2, 4, 0, 100], &experiment, &[1, 0]].concat();
    assert_eq!(read(&bytes), Ok(Options { mss: Some(100), ..Options::default() }));
}

#[test]
fn a_user_timeout_is_a_bit_and_fifteen() {
    for (bytes, user_timeout) in [
        ([28, 4, 0x01, 0x2c], UserTimeout { minutes: false, value: 300 }),
        ([28, 4, 0xff, 0xff], UserTimeout { minutes: true, value: 0x7fff }),
    ] {
        let options = Options { user_timeout: Some(user_timeout), ..Options::default() };
        assert_eq!(written(options), bytes);
        assert_eq!(read(&bytes), Ok(options));
    }
    // Another length than its own: skipped.
    assert_eq!(read(&[28, 3, 1, 1]), Ok(Options::default()));
    let full = Options { timestamps: Some(TIMESTAMPS), sack: blocks(4), ..Options::default() };
    let beside = Options { user_timeout: Some(UserTimeout::default()), ..full };
    assert_eq!((beside.sack_capacity(), beside.len()), (2, 36));
}

/// RFC 9293 section 3.1 (MUST-4).
#[test]
fn a_fast_open_cookie_is_padded_behind() {
    let cookie = |bytes: &[u8]| FastOpenCookie::new(bytes);
    for (fast_open, bytes) in [
        (cookie(&[]), &[34, 2, 1, 1][..]),
        (cookie(&[1, 2, 3, 4, 5, 6, 7, 8]), &[34, 10, 1, 2, 3, 4, 5, 6, 7, 8, 1, 1]),
        (cookie(&[1, 2, 3, 4, 5, 6]), &[34, 8, 1, 2, 3, 4, 5, 6]),
    ] {
        let options = Options { fast_open, ..Options::default() };
        assert_eq!(written(options), bytes);
        assert_eq!(read(bytes), Ok(options));
    }
    // The experimental form (RFC 6994).
    for (bytes, option) in [
        (&[][..], &[254, 4, 0xf9, 0x89][..]),
        (&[1, 2, 3, 4, 5, 6, 7, 8], &[254, 12, 0xf9, 0x89, 1, 2, 3, 4, 5, 6, 7, 8]),
        (&[1, 2, 3, 4, 5, 6], &[254, 10, 0xf9, 0x89, 1, 2, 3, 4, 5, 6, 1, 1]),
    ] {
        let fast_open = cookie(bytes).map(|cookie| cookie.in_form(FastOpenForm::Experimental));
        let options = Options { fast_open, ..Options::default() };
        assert_eq!(written(options), option);
        assert_eq!(read(option), Ok(options));
    }
    // Another experiment, one whose number is cut off, and a length that no cookie has.
    for option in [
        &[254, 8, 0xf9, 0x88, 1, 2, 3, 4][..],
        &[254, 3, 0xf9, 1],
        &[254, 2, 1, 1],
        &[254, 6, 0xf9, 0x89, 1, 2, 1, 1],
    ] {
        assert_eq!(read(option), Ok(Options::default()));
    }
    // RFC 7413 section 2: an option of another length says nothing.
    assert_eq!(read(&[34, 5, 1, 2, 3, 0, 0, 0]), Ok(Options::default()));
    // The longest cookie fits beside what a SYN usually says, but not beside a user timeout.
    let syn = Options {
        mss: Some(1460),
        window_scale: Some(7),
        sack_permitted: true,
        timestamps: Some(TIMESTAMPS),
        fast_open: cookie(&[9; 16]),
        ..Options::default()
    };
    assert_eq!(read(&written(syn)), Ok(syn));
    let fast_open = syn.fast_open.map(|cookie| cookie.in_form(FastOpenForm::Experimental));
    let experimental = Options { fast_open, ..syn };
    assert_eq!((experimental.len(), read(&written(experimental))), (40, Ok(experimental)));
    let too_long = Options { user_timeout: Some(UserTimeout::default()), ..syn };
    assert_eq!(read(&written(too_long)), Ok(Options { fast_open: None, ..too_long }));
}

#[test]
fn nothing_is_read_after_the_end() {
    assert_eq!(read(&[0, 2, 4, 0]), Ok(Options::default()));
    assert_eq!(read(&[1, 1, 0, 30]), Ok(Options::default()));
}

/// RFC 9293 section 3.1 (MUST-7).
#[test]
fn broken_options_are_refused_at_their_place() {
    for (bytes, at) in [
        (&[2, 3, 0, 0][..], 0),                     // MSS of a wrong length
        (&[1, 1, 2, 4], 2),                         // cut short
        (&[1, 1, 1, 30], 3),                        // no length
        (&[30, 0, 0, 0], 0),                        // a length below its own header
        (&[30, 1, 0, 0], 0),                        // the same
        (&[1, 30, 4, 0], 1),                        // a length beyond the header
        (&[3, 2, 1, 1], 0),                         // window scale of a wrong length
        (&[8, 8, 0, 0, 0, 0, 0, 0], 0),             // timestamps of a wrong length
        (&[1, 1, 5, 2], 2),                         // SACK without a block
        (&[1, 5, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0], 1), // SACK with half a block
    ] {
        let refused = Error::malformed(Layer::Tcp, MIN_HEADER_LEN + at, Reason::Option);
        assert_eq!(read(bytes), Err(refused), "{bytes:?}");
    }
}

#[test]
fn lengths_are_verified() {
    let mut bytes = segment(&Header::default(), b"data");
    assert_eq!(parse(&bytes[..19]).unwrap_err(), Error::length(Layer::Tcp, 20, 19));
    bytes[12] = 0x40;
    assert_eq!(parse(&bytes).unwrap_err().reason(), Some(Reason::HeaderLength));
    bytes[12] = 0x70;
    assert_eq!(parse(&bytes).unwrap_err(), Error::length(Layer::Tcp, 28, 24));
}

#[test]
fn a_wrong_checksum_matters_only_if_asked() {
    let mut bytes = segment(&Header::default(), b"data");
    assert_eq!(parse(&bytes), Ok((Header::default(), &b"data"[..])));
    bytes[20] ^= 1;
    assert_eq!(parse(&bytes).unwrap_err(), Error::malformed(Layer::Tcp, 16, Reason::Checksum));
    assert!(Header::parse(&bytes, SRC, DST, Checksum::Verified).is_ok());
}

#[test]
fn a_device_completes_a_partial_sum() {
    let header = Header { options: Options { mss: Some(536), ..Options::default() }, ..Header::default() };
    let full = segment(&header, b"odd");
    let mut bytes = full.clone();
    header.write_partial(&mut bytes, SRC, DST, 3).unwrap();
    let sum = super::super::checksum::checksum(&bytes);
    bytes[CHECKSUM_OFFSET..CHECKSUM_OFFSET + 2].copy_from_slice(&sum.to_be_bytes());
    assert_eq!(bytes, full);
}

/// RFC 9293 section 3.1 (MUST-2): what is written is parsed with its checksum verified.
#[test]
fn the_payload_may_lie_in_two_parts() {
    let header = Header::default();
    let mut bytes = *b"....................datagram";
    for cut in 0..=8 {
        let (first, second) = b"datagram".split_at(cut);
        header.write(&mut bytes, SRC, DST, [first, second]).unwrap();
        assert_eq!(parse(&bytes), Ok((header, &b"datagram"[..])), "cut at {cut}");
    }
}

#[test]
fn a_template_writes_what_the_header_would() {
    let timestamps = Some(Timestamps { value: 1, echo: 2 });
    let options = Options { timestamps, ..Options::default() };
    let header =
        Header { src_port: 7, dst_port: 8, flags: Flags::ACK, window: 9, options, ..Header::default() };
    let payload = [&b"odd"[..], &b" and even"[..]];
    let mut found = [0; 60];
    let (template, len) = Template::write(&mut found, &header, SRC, DST, 12).unwrap();
    assert_eq!(len, 32);
    for seq in [0, 1, 0xffff, 0xffff_ffff, 0x1234_5678].map(SeqNum::new) {
        let mut expected = [0; 60];
        Header { seq, ..header }.write(&mut expected, SRC, DST, payload).unwrap();
        template.complete(&mut found, seq, payload);
        assert_eq!(found, expected);
    }
    assert!(Template::write(&mut [0; 31], &header, SRC, DST, 12).is_err());
}

#[test]
fn reserved_bits_are_ignored() {
    let mut bytes = segment(&Header { flags: Flags::all(), ..Header::default() }, b"");
    bytes[12] |= 0x0e;
    let (header, _) = Header::parse(&bytes, SRC, DST, Checksum::Verified).unwrap();
    assert_eq!(header.flags, Flags::all());
}

#[test]
fn what_does_not_fit_is_not_written() {
    let header = Header { options: Options { mss: Some(536), ..Options::default() }, ..Header::default() };
    assert_eq!(header.write(&mut [0; 23], SRC, DST, [&[]; 2]), Err(Error::length(Layer::Tcp, 24, 23)));
}

fn blocks(count: u32) -> SackBlocks {
    let mut blocks = SackBlocks::EMPTY;
    for start in (1..=count).map(|n| SeqNum::new(n * 100)) {
        blocks.push(SackBlock { start, end: start + 50 });
    }
    blocks
}

fn segment(header: &Header, payload: &[u8]) -> Vec<u8> {
    let mut bytes = [&vec![0xee; header.header_len()], payload].concat();
    assert_eq!(header.write(&mut bytes, SRC, DST, [payload, &[]]), Ok(header.header_len()));
    bytes
}

fn parse(bytes: &[u8]) -> Result<(Header, &[u8]), Error> {
    Header::parse(bytes, SRC, DST, Checksum::Full)
}

fn written(options: Options) -> Vec<u8> {
    segment(&Header { options, ..Header::default() }, &[])[MIN_HEADER_LEN..].to_vec()
}

fn read(options: &[u8]) -> Result<Options, Error> {
    let mut bytes = segment(&Header::default(), &[]);
    bytes.extend(options);
    bytes[12] = ((bytes.len() / 4) << 4) as u8;
    Header::parse(&bytes, SRC, DST, Checksum::Verified).map(|(header, _)| header.options)
}
