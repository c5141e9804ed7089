use super::super::icmpv6;
use super::*;

const SRC: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
const DST: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const TARGET: Ipv6Addr = Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 2);
const MAC: MacAddr = MacAddr([2, 0, 0, 0, 0, 1]);

const PREFIX: PrefixInfo = PrefixInfo {
    prefix: Ipv6Addr::new(0xfd09, 0, 0, 0, 0, 0, 0, 0),
    prefix_len: 64,
    on_link: true,
    autonomous: true,
    valid_lifetime: 86_400,
    preferred_lifetime: u32::MAX,
};

#[test]
fn a_solicitation_as_it_stands_in_the_rfc() {
    let bytes = written(Message::NeighborSolicitation { target: TARGET, source_link: Some(MAC) });
    assert_eq!(bytes[..2], [135, 0]);
    assert_eq!(bytes[4..8], [0; 4]);
    assert_eq!(bytes[8..24], TARGET.octets());
    assert_eq!(bytes[24..], [1, 1, 2, 0, 0, 0, 0, 1]);
}

#[test]
fn a_router_s_prefixes_are_walked_past_other_options() {
    let prefixes = [PREFIX, PrefixInfo { prefix_len: 48, autonomous: false, ..PREFIX }];
    let advertisement = RouterAdvertisement {
        hop_limit: 64,
        managed: false,
        other: true,
        lifetime: 1800,
        reachable_time: 30_000,
        retrans_timer: 1000,
        source_link: Some(MAC),
        mtu: Some(1400),
        prefixes: List::new(&prefixes),
    };
    let message = Message::RouterAdvertisement(advertisement);
    let mut bytes = written(message);
    assert_eq!(read(bytes.clone()), Ok(message.into()));
    let name_server = [25, 1, 0, 0, 0, 0, 0, 9];
    bytes.splice(16..16, name_server);
    assert_eq!(read(bytes), Ok(message.into()), "an unknown option before them");
}

#[test]
fn a_prefix_of_more_than_128_bits_is_none() {
    let wrong = [PrefixInfo { prefix_len: 129, ..PREFIX }, PREFIX];
    let advertisement = RouterAdvertisement {
        hop_limit: 0,
        managed: false,
        other: false,
        lifetime: 0,
        reachable_time: 0,
        retrans_timer: 0,
        source_link: None,
        mtu: None,
        prefixes: List::new(&wrong),
    };
    let right = RouterAdvertisement { prefixes: List::new(&wrong[1..]), ..advertisement };
    let bytes = written(Message::RouterAdvertisement(advertisement));
    assert_eq!(read(bytes), Ok(Message::RouterAdvertisement(right).into()));
}

#[test]
fn broken_options_are_refused_at_their_place() {
    let solicitation = written(Message::NeighborSolicitation { target: TARGET, source_link: None });
    for option in [&[1, 0, 0, 0, 0, 0, 0, 0][..], &[1, 2, 0, 0, 0, 0, 0, 0], &[1], &[5, 2]] {
        let bytes = [&solicitation, option].concat();
        let broken = Error::malformed(Layer::Ndp, 24, Reason::Option);
        assert_eq!(read(bytes), Err(broken), "{option:?}");
    }
}

#[test]
fn a_long_link_address_is_none() {
    let mut bytes = written(Message::NeighborSolicitation { target: TARGET, source_link: None });
    bytes.extend([1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    let solicitation = Message::NeighborSolicitation { target: TARGET, source_link: None };
    assert_eq!(read(bytes), Ok(solicitation.into()));
}

#[test]
fn what_the_rfc_calls_invalid_is_refused() {
    let group = written(Message::NeighborSolicitation { target: DST, source_link: None });
    assert_eq!(read(group), Err(Error::malformed(Layer::Ndp, 8, Reason::Value)));
    let mut with_code = written(Message::RouterSolicitation { source_link: None });
    with_code[1] = 1;
    assert_eq!(read(with_code), Err(Error::malformed(Layer::Ndp, 1, Reason::Value)));
    for kind in [134, 135, 136, 137] {
        let mut short = written(Message::RouterSolicitation { source_link: None });
        short[0] = kind;
        assert!(matches!(read(short), Err(Error::Length { layer: Layer::Ndp, .. })), "type {kind}");
    }
}

#[test]
fn a_redirect_quotes_whole_units() {
    let redirect =
        |quoted| Message::Redirect { target: TARGET, destination: TARGET, target_link: Some(MAC), quoted };
    let packet = [7; 1500];
    let bytes = written(redirect(&packet[..45]));
    assert_eq!(read(bytes), Ok(redirect(&packet[..40]).into()));
    assert!(40 + written(redirect(&packet)).len() <= 1280, "RFC 4861 section 4.5: within the least MTU");
}

fn written(message: Message<'_>) -> Vec<u8> {
    let message = icmpv6::Message::from(message);
    let mut bytes = vec![0xee; message.wire_len()];
    assert_eq!(message.write(&mut bytes, SRC, DST), Ok(bytes.len()));
    bytes
}

/// Reads after putting the checksum right; the bytes stay for the rest of the test.
fn read(mut bytes: Vec<u8>) -> Result<icmpv6::Message<'static>, Error> {
    bytes[2..4].fill(0);
    let sum = super::super::checksum::Sum::pseudo(
        SRC.into(),
        DST.into(),
        super::super::ip::Protocol::ICMPV6,
        bytes.len(),
    );
    let sum = sum.with(&bytes).checksum();
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    icmpv6::Message::parse(bytes.leak(), SRC, DST)
}
