//! Which way calls go, against a proxy of a few lines.

use super::*;
use crate::domain::endpoint::Proxy;

#[tokio::test]
async fn a_configured_proxy_is_asked_to_connect_and_told_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = format!("http://{}", listener.local_addr().expect("an address"));
    let (sender, requests) = channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        sender.send(read_request(&stream)).expect("the test listens");
        stream.write_all(answer("502 Bad Gateway", &[], "").as_bytes()).expect("written");
    });
    let config = ClientConfig::new("https://cdn.aliyuncs.com".parse().expect("a URL"));
    let proxy = Proxy::Through(proxy.parse().expect("a URL"));
    let world = world_with(&ClientConfig { proxy, ..config }).await;
    let failure = refresh(&world).await.expect_err("the proxy refuses");
    assert_eq!(failure.reached, Reached::Nothing, "{failure:?}");
    let request = requests.recv().expect("a request");
    assert_eq!(request.line, "CONNECT cdn.aliyuncs.com:443 HTTP/1.1\r\n");
    assert!(!format!("{request:?}").contains(KEY_ID), "{request:?}");
}

#[tokio::test]
async fn what_stays_on_this_machine_takes_no_proxy() {
    let (endpoint, _requests) = serve(vec![ok(r#"{"RefreshTaskId":"1","RequestId":"R"}"#)]);
    let proxy = Proxy::Through("http://127.0.0.1:1".parse().expect("a URL"));
    let world = world_with(&ClientConfig { proxy, ..ClientConfig::new(endpoint) }).await;
    refresh(&world).await.expect("accepted");
}
