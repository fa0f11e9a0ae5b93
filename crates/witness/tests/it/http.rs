//! The protocol on the wire.

use crate::world::{History, LOG, log_key};
use marque_journal::checkpoint::SignedCheckpoint;
use marque_journal::witness::{AddCheckpoint, Answer};
use marque_store::disk::sim::SimDisk;
use marque_witness::{AskError, Book, Endpoint, limits, serve};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

struct World {
    port: u16,
    witness: Endpoint,
    book: Arc<Book>,
}

async fn world() -> World {
    let book = Arc::new(Book::open(Arc::new(SimDisk::new(1)), &[log_key()]).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(serve(book.clone(), listener));
    let witness = Endpoint::from_url(&format!("http://127.0.0.1:{port}/tenant/")).unwrap();
    World { port, witness, book }
}

fn on<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

/// One request, byte for byte; what comes back until the end.
async fn raw(port: u16, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    // It may be answered, and the connection closed, before all of it is read.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn a_log_is_cosigned_and_told_where_the_witness_is() {
    on(async {
        let world = world().await;
        let history = History::new(false);
        assert_eq!(world.witness.latest(LOG).await.unwrap(), None);
        let Answer::Cosigned(lines) = world.witness.add_checkpoint(&history.request(0, 9)).await.unwrap() else { panic!("it extends") };
        let key = world.book.verifier().unwrap();
        key.verify(history.request(0, 9).note.text().as_bytes(), &lines[0].signature).unwrap();
        let latest = world.witness.latest(LOG).await.unwrap().unwrap();
        let signed = SignedCheckpoint::open(latest.to_string().as_bytes(), &log_key()).unwrap();
        assert_eq!((signed.checkpoint.size, signed.witnessed_by(&[key])), (9, Ok(1)));
        assert_eq!(world.witness.add_checkpoint(&history.request(0, 20)).await.unwrap(), Answer::Conflict { size: 9 });
        let cut = AddCheckpoint { proof: Vec::new(), ..history.request(9, 20) };
        assert_eq!(world.witness.add_checkpoint(&cut).await.unwrap(), Answer::Refused { status: 422 });
        let backwards = AddCheckpoint { old_size: 30, ..history.request(9, 20) };
        assert_eq!(world.witness.add_checkpoint(&backwards).await.unwrap(), Answer::Refused { status: 400 });
    });
}

#[test]
fn a_conflict_has_the_content_type_of_the_specification() {
    on(async {
        let world = world().await;
        let history = History::new(false);
        world.witness.add_checkpoint(&history.request(0, 9)).await.unwrap();
        let body = history.request(3, 20).to_body();
        let request = format!("POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let answer = raw(world.port, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 409 "), "{answer}");
        assert!(answer.contains("content-type: text/x.tlog.size\r\n") && answer.ends_with("\r\n\r\n9\n"), "{answer}");
    });
}

#[test]
fn what_is_no_request_is_refused_and_nothing_is_cosigned() {
    on(async {
        let world = world().await;
        let long = limits::REQUEST_BYTES_MAX;
        let sized = |n: usize| format!("POST /add-checkpoint HTTP/1.1\r\nhost: w\r\ncontent-length: {n}\r\n\r\n{}", "x".repeat(n));
        for (request, status) in [
            ("GET / HTTP/1.1\r\nhost: w\r\n\r\n".to_owned(), "404"),
            ("GET /checkpoint/none HTTP/1.1\r\nhost: w\r\n\r\n".to_owned(), "404"),
            ("DELETE /add-checkpoint HTTP/1.1\r\nhost: w\r\n\r\n".to_owned(), "404"),
            (sized(3), "400"),
            (sized(long), "400"),
            (sized(long + 1), "400"),
            ("no http\r\n\r\n".to_owned(), "400"),
        ] {
            let answer = raw(world.port, request.as_bytes()).await;
            let first = request.lines().next().unwrap();
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{first}: {answer}");
        }
        assert_eq!(world.witness.latest(LOG).await.unwrap(), None);
    });
}

#[test]
fn a_witness_that_is_down_or_says_nothing_is_given_up_on() {
    on(async {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = gone.local_addr().unwrap().port();
        drop(gone);
        let nobody = Endpoint::from_url(&format!("http://127.0.0.1:{port}")).unwrap();
        assert!(matches!(nobody.latest(LOG).await, Err(AskError::Unreachable(_))));
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mute = Endpoint::from_url(&format!("http://{}", silent.local_addr().unwrap())).unwrap();
        assert_eq!(mute.latest(LOG).await, Err(AskError::Slow));
    });
}

#[test]
fn an_address_of_a_witness_is_http_and_a_host() {
    for good in ["http://127.0.0.1:7350", "http://[::1]:1/a/b", "http://witness.test"] {
        assert!(Endpoint::from_url(good).is_some(), "{good}");
    }
    for bad in ["https://witness.test", "witness.test:1", "http://", "http://a@b/", "http://a/?b", "", "unix:///x"] {
        assert_eq!(Endpoint::from_url(bad), None, "{bad}");
    }
}
