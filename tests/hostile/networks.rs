//! What can be reached from inside, and through the gate.

use docent::executor::{Ending, Executor, Limits};

use super::cases::EXITED;
use super::{Bench, LIMITS};

/// A port of this machine that says so.
fn this_machine() -> u16 {
    let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let _ = std::io::Write::write_all(&mut connection.unwrap(), b"reached this machine\n");
        }
    });
    port
}

/// Asks the gate for something, and shows the first line of its answer.
const ASK: &str = "gate=$(echo ${https_proxy#http://} | tr ':' ' '); \
    ask() { printf '%s HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n' \"$*\" | nc -w 10 $gate | head -1; }";

/// Room for docent's own program where no control group counts, but the address space of each process.
pub fn index_job<E: Executor>(bench: &Bench<E>, script: &str) -> docent::executor::Job {
    let limits = Limits { memory_bytes: 2 << 30, ..LIMITS };
    docent::executor::Job { network: docent::executor::Network::Index, limits, ..bench.job(script) }
}

/// A tier with `network = "index"` reaches nothing directly, and through the gate nothing that is not out there.
pub async fn only_the_gate<E: Executor>(bench: &Bench<E>) {
    let port = this_machine();
    let all = docent::executor::gate::own_addresses().unwrap();
    let own: Vec<String> = all.iter().filter(|it| it.is_ipv4()).map(ToString::to_string).collect();
    let own = own.join(" ");
    let told = bench
        .run_once(&index_job(
            bench,
            &format!(
                "exec 2>/dev/null; for a in {own} $(ip route | sed -n 's/^default via \\([^ ]*\\).*/\\1/p'); do nc -w 2 $a {port} </dev/zero 2>/dev/null; done; \
                 for s in $(sed -n 's/^nameserver //p' /etc/resolv.conf) 169.254.169.254 10.0.0.1 1.1.1.1; do \
                   timeout 2 nc $s 80 </dev/null 2>/dev/null && echo reached $s; done; \
                 timeout 4 nslookup example.org 2>/dev/null | grep -q 'Address.*[0-9]$' && echo resolved; exit 0"
            ),
        ))
        .await;
    assert_eq!((told.text().as_str(), told.ending), ("", EXITED(0)), "direct");

    let first = &own_address();
    let mut asked = Vec::new();
    for host in [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "2130706433",
        "0x7f000001",
        "0177.0.0.1",
        "127.1",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "169.254.169.254",
        "2852039166",
        "[::ffff:169.254.169.254]",
        "[fd00:ec2::254]",
        "10.0.0.1",
        "192.168.0.1",
        "172.17.0.1",
        "100.100.100.200",
        first,
    ] {
        asked.push(format!("CONNECT {host}:443"));
    }
    asked.extend(all.iter().map(|address| format!("CONNECT {}", std::net::SocketAddr::new(*address, 443))));
    asked.push("CONNECT example.org:22".to_owned());
    asked.push("CONNECT example.org:80".to_owned());
    asked.push("CONNECT example.org".to_owned());
    asked.push(format!("CONNECT {first}:{port}"));
    asked.push(format!("GET http://{first}:{port}/"));
    asked.push("GET http://169.254.169.254/latest/meta-data/".to_owned());
    asked.push("GET http://example.org/".to_owned());
    asked.push("GET /".to_owned());
    asked.push("POST http://example.org/".to_owned());
    let script: String = asked.iter().map(|what| format!("ask '{what}'; ")).collect();
    let told = bench.run_once(&index_job(bench, &format!("{ASK}; {script}"))).await;
    let text = told.text();
    let (notes, answers): (Vec<&str>, Vec<&str>) = text.lines().partition(|it| it.starts_with('['));
    assert_eq!(answers.len(), asked.len(), "{text}");
    for (answer, what) in answers.iter().zip(&asked) {
        assert!(
            answer.starts_with("HTTP/1.1 403 docent's gate: ") || *answer == "HTTP/1.1 400 Bad Request",
            "{what}: {answer}"
        );
    }
    assert!(answers.iter().filter(|it| it.starts_with("HTTP/1.1 403")).count() > asked.len() - 3, "{text}");
    assert!(notes.iter().any(|it| it.starts_with("[docent's gate refused: 127.0.0.1 ")), "{text}");
    assert!(notes.iter().all(|it| it.contains("index_hosts")), "{text}");
}

/// Two ports of this machine that answer every request with the request, and their hosts as an operator names them:
/// with TLS, as far as a gate can tell, and without.
pub fn own_indexes() -> ([u16; 2], Vec<docent::core::index::IndexHost>) {
    use std::io::{Read, Write};
    let ports = [(), ()].map(|()| {
        let listener = std::net::TcpListener::bind("0.0.0.0:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && connection.read(&mut byte).is_ok_and(|count| count == 1) {
                    head.push(byte[0]);
                }
                let length = head.len();
                let _ = write!(
                    connection,
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nSet-Cookie: x\r\nConnection: close\r\n\r\n"
                );
                let _ = connection.write_all(&head);
            }
        });
        port
    });
    let own = own_address();
    let hosts = [format!("{own}:{}", ports[0]), format!("http://{own}:{}", ports[1])];
    (ports, hosts.iter().map(|host| host.parse().unwrap()).collect())
}

/// An address of this machine that others may have a way to.
fn own_address() -> String {
    let own = docent::executor::gate::own_addresses().unwrap();
    own.iter().find(|it| it.is_ipv4() && !it.is_loopback()).expect("this machine has an address").to_string()
}

/// What the operator names is reached, wherever it is, with and without TLS; nothing else is. Nobody learns who asks.
pub async fn named_indexes<E: Executor>(bench: &Bench<E>, [tunnelled, plain]: [u16; 2]) {
    let own = own_address();
    let script = format!(
        "{ASK}; \
         wget -q -S -O- --header 'Authorization: Basic c2VjcmV0' --header 'Cookie: secret' http://{own}:{plain}/simple/x?y=z 2>&1; \
         printf 'CONNECT {own}:{tunnelled} HTTP/1.1\\r\\nHost: x\\r\\n\\r\\nGET /tunnelled HTTP/1.1\\r\\n\\r\\n' | nc -w 10 $gate; \
         for what in 'CONNECT {own}:{plain}' 'GET http://{own}:{tunnelled}/' 'CONNECT example.org:443' 'CONNECT {own}:443' \
           'POST http://{own}:{plain}/'; do ask $what; done"
    );
    let told = bench.run_once(&index_job(bench, &script)).await;
    let text = told.text().replace('\r', "");
    assert!(text.contains("GET /simple/x?y=z HTTP/1.1\n"), "{text}");
    assert!(text.contains(&format!("host: {own}:{plain}\n")), "{text}");
    assert!(text.contains("\nGET /tunnelled HTTP/1.1\n"), "{text}");
    for secret in ["c2VjcmV0", "Basic", "Cookie: secret", "cookie: secret", "set-cookie"] {
        let (before, _) = text.split_once("GET /tunnelled").unwrap();
        let (of_plain, _) = before.split_once("HTTP/1.1 200 OK\n\n").unwrap_or((before, ""));
        assert!(!of_plain.contains(secret), "{secret}: {text}");
    }
    let refused = text.lines().filter(|line| line.starts_with("HTTP/1.1 403 docent's gate: ")).count();
    assert_eq!(refused, 5, "{text}");
}

/// Nothing answers: not the internet, not the cloud's metadata, not this machine.
pub async fn no_network<E: Executor>(bench: &Bench<E>) {
    let port = this_machine();
    let told = bench
        .run_once(&bench.job(&format!(
            "ls /sys/class/net 2>/dev/null | grep -v '^lo$'; grep -v '^ *\\(Inter\\|face\\|lo:\\)' /proc/net/dev; \
             for a in 127.0.0.1 172.17.0.1; do nc -w 2 $a {port} </dev/zero 2>/dev/null; done; \
             for a in 169.254.169.254 10.0.0.1 1.1.1.1; do timeout 2 nc $a 80 </dev/null 2>/dev/null && echo reached $a; done; \
             timeout 4 nslookup localhost.example 2>/dev/null | grep -q Address.*1 && echo resolved; exit 0"
        )))
        .await;
    assert_eq!((told.text().as_str(), told.ending), ("", Ending::Exited { code: 0 }));
}
