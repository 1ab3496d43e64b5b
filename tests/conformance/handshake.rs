//! Task: ApiVersions (18), and what a broker does with bytes that it does not understand.

use crate::{case::cases, checklist::versions_of, connection::Connection, target::Target};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use kafka_protocol::{
    messages::{
        ApiKey, ApiVersionsRequest, ApiVersionsResponse, MetadataRequest, RequestHeader,
        SaslAuthenticateRequest, SaslHandshakeRequest,
    },
    protocol::{Decodable, Encodable},
};

cases! {
    1 brokers;
    ApiVersions:
        tells_the_versions_in_every_version
        answers_a_version_too_high_in_the_lowest
        refuses_a_client_without_a_proper_name
        can_be_asked_again_later
        closes_on_an_api_that_it_does_not_know
        closes_on_a_version_that_it_does_not_know
        closes_on_bodies_that_are_cut
        closes_on_bytes_that_are_no_request
        answers_in_the_order_of_the_requests;
    SaslHandshake:
        refuses_a_login_where_none_is_asked_for;
}

fn request() -> ApiVersionsRequest {
    ApiVersionsRequest::default()
        .with_client_software_name("craftwire".into())
        .with_client_software_version("0.1.0".into())
}

/// Keeps the APIs that the client speaks, and puts all in order.
fn kept(mut answer: ApiVersionsResponse) -> ApiVersionsResponse {
    let spoken = craftwire::internals::spoken_apis();
    answer.api_keys.retain(|api| spoken.iter().any(|spoken| spoken.0 == api.api_key));
    answer.api_keys.sort_by_key(|api| api.api_key);
    answer.supported_features.sort_by_key(|feature| feature.name.to_string());
    answer.finalized_features.sort_by_key(|feature| feature.name.to_string());
    // It counts what the controllers wrote.
    answer.finalized_features_epoch = answer.finalized_features_epoch.min(1);
    answer
}

async fn tells_the_versions_in_every_version(target: &Target) {
    for version in versions_of(ApiKey::ApiVersions) {
        let mut connection = target.connect().await;
        let answer = kept(connection.ask(version, &request()).await);
        target.note(&format!("versions v{version}"), &answer);
        assert_eq!(answer.error_code, 0);
        for (key, name, min, max) in craftwire::internals::spoken_apis() {
            let told = answer.api_keys.iter().find(|api| api.api_key == key).unwrap();
            assert!(told.min_version <= min && max <= told.max_version, "{name}: {told:?}");
        }
    }
}

async fn refuses_a_login_where_none_is_asked_for(target: &Target) {
    let mut connection = target.connect().await;
    let handshake = SaslHandshakeRequest::default().with_mechanism("PLAIN".into());
    let answer = connection.ask(1, &handshake).await;
    target.note("handshake", &answer);
    assert_eq!(answer.error_code, 34);
    let message = SaslAuthenticateRequest::default().with_auth_bytes(Bytes::from_static(b"\0smith\0iron"));
    let answer = connection.ask(2, &message).await;
    target.note("message", &answer);
    assert_eq!(answer.error_code, 34);
}

async fn answers_a_version_too_high_in_the_lowest(target: &Target) {
    let mut connection = target.connect().await;
    let mut frame = BytesMut::new();
    let header = RequestHeader::default()
        .with_request_api_key(18)
        .with_request_api_version(99)
        .with_correlation_id(7)
        .with_client_id(Some("conformance".into()));
    header.encode(&mut frame, 2).unwrap();
    request().encode(&mut frame, 4).unwrap();
    connection.send_frame(&frame).await;
    let mut answer = connection.receive_frame().await.unwrap();
    assert_eq!(answer.get_i32(), 7);
    let answer = ApiVersionsResponse::decode(&mut answer, 0).unwrap();
    target.note("too high", &answer);
    assert_eq!(answer.error_code, 35);
    target.answered(18, 0, &[35].into());
    // The connection is good for another try.
    assert_eq!(connection.ask(4, &request()).await.error_code, 0);
}

async fn refuses_a_client_without_a_proper_name(target: &Target) {
    for name in ["", "-x", "a b"] {
        let mut connection = target.connect().await;
        let answer = connection.ask(4, &request().with_client_software_name(name.into())).await;
        target.note("improper", &kept(answer));
    }
}

async fn can_be_asked_again_later(target: &Target) {
    let mut connection = target.connect().await;
    // Brokers without authentication do not insist on the handshake.
    connection.ask(12, &MetadataRequest::default().with_topics(Some(Vec::new()))).await;
    for version in [4, 0] {
        assert_eq!(connection.ask(version, &request()).await.error_code, 0);
    }
}

/// Sends a frame and notes whether the connection is closed.
async fn is_closed(target: &Target, label: &str, frame: &[u8]) {
    let mut connection = target.connect().await;
    connection.send_frame(frame).await;
    let answer = connection.receive_frame().await;
    target.note(label, &answer.is_none());
}

fn head(api: i16, version: i16, flexible: bool) -> BytesMut {
    let mut frame = BytesMut::new();
    frame.put_i16(api);
    frame.put_i16(version);
    frame.put_i32(1);
    frame.put_i16(-1);
    if flexible {
        frame.put_u8(0);
    }
    frame
}

async fn closes_on_an_api_that_it_does_not_know(target: &Target) {
    for api in [999, -1] {
        is_closed(target, "unknown API", &head(api, 0, false)).await;
    }
}

async fn closes_on_a_version_that_it_does_not_know(target: &Target) {
    for (api, _, min, max) in craftwire::internals::spoken_apis() {
        if api != 18 {
            is_closed(target, "too high", &head(api, max + 50, true)).await;
            is_closed(target, "negative", &head(api, -1, true)).await;
            assert!(min >= 0);
        }
    }
}

async fn closes_on_bodies_that_are_cut(target: &Target) {
    for (api, _, _, max) in craftwire::internals::spoken_apis() {
        is_closed(target, &format!("no body of {api}"), &head(api, max, true)).await;
    }
    // Bytes left over are another matter.
    let mut frame = head(3, 12, true);
    MetadataRequest::default().with_topics(Some(Vec::new())).encode(&mut frame, 12).unwrap();
    frame.put_slice(b"left over");
    is_closed(target, "left over", &frame).await;
}

async fn closes_on_bytes_that_are_no_request(target: &Target) {
    is_closed(target, "an empty frame", b"").await;
    is_closed(target, "half a header", &[0, 3, 0, 12, 0]).await;
    for length in [-1, i32::MIN, 104_857_601, i32::MAX] {
        let mut connection = target.connect().await;
        connection.send_bytes(&length.to_be_bytes()).await;
        assert!(connection.receive_frame().await.is_none(), "{length}");
    }
    let mut connection = target.connect().await;
    connection.send_bytes(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(connection.receive_frame().await.is_none());
}

async fn answers_in_the_order_of_the_requests(target: &Target) {
    let mut connection = target.connect().await;
    let ask = async |connection: &mut Connection<'_>, id: i32| {
        let mut frame = BytesMut::new();
        let header = RequestHeader::default()
            .with_request_api_key(3)
            .with_request_api_version(12)
            .with_correlation_id(id);
        header.with_client_id(None).encode(&mut frame, 2).unwrap();
        MetadataRequest::default().with_topics(Some(Vec::new())).encode(&mut frame, 12).unwrap();
        connection.send_frame(&frame).await;
    };
    for id in [5, -9, 0, i32::MAX] {
        ask(&mut connection, id).await;
    }
    for id in [5, -9, 0, i32::MAX] {
        assert_eq!(connection.receive_frame().await.unwrap().get_i32(), id);
    }
}
