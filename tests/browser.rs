//! The pages in a real browser: nothing of a stranger's runs or loads, everything fits, and what is live moves.

mod chromium;
mod pages;

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use chromium::Browser;
use docent::core::outcome::{Outcome, TestResult};
use docent::web;
use pages::{HOSTILE, Museum};

const WIDTHS: [u32; 2] = [400, 1400];

async fn serve(museum: &Museum) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(web::serve(listener, museum.pages(), CancellationToken::new()));
    format!("http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_strangers_runs_and_everything_fits() {
    let Some(mut browser) = Browser::start() else { return };
    let museum = Museum::filled().await;
    let top = serve(&museum).await;
    for (name, path) in [
        ("overview", "/"),
        ("runs", "/runs"),
        ("run-ended", "/runs/1"),
        ("run-live", "/runs/2"),
        ("run-offered", "/runs/4"),
        ("commands", "/commands"),
        ("pull", "/pulls/example/5/4"),
    ] {
        for (width, scheme) in WIDTHS.into_iter().zip(["dark", "light"]) {
            browser.look(width, scheme);
            browser.open(&format!("{top}{path}"));
            let title = browser.value("document.title");
            assert!(title.as_str().unwrap().ends_with("· docent"), "{path}: {title}");
            assert_eq!(
                browser.value("document.querySelectorAll('main img, main svg, main script').length"),
                0
            );
            let wide = browser.value("document.documentElement.scrollWidth - innerWidth");
            assert!(wide.as_i64().unwrap() <= 0, "{path} is {wide} too wide at {width}");
            assert_eq!(
                browser.value("getComputedStyle(document.body).maxWidth"),
                "1344px",
                "{path}: no style"
            );
            browser.picture(&format!("{name}-{width}"));
        }
    }
    browser.open(&format!("{top}/no/such/page"));
    browser.picture("problem-1400");
    let requests = browser.events.iter().filter(|event| event["method"] == "Network.requestWillBeSent");
    let addresses: Vec<&str> =
        requests.map(|event| event["params"]["request"]["url"].as_str().unwrap()).collect();
    assert!(addresses.len() > 20);
    for address in addresses {
        assert!(address.starts_with(&top) || address == "about:blank", "{address}");
    }
    let complaints = browser.events.iter().filter(|event| event["method"] == "Log.entryAdded");
    for complaint in complaints.map(|event| &event["params"]["entry"]) {
        let address = complaint["url"].as_str().unwrap_or_default();
        assert!(address.ends_with("/no/such/page"), "{complaint}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_page_moves_without_being_loaded_again() {
    let Some(mut browser) = Browser::start() else { return };
    let museum = Museum::filled().await;
    let attempt = Museum::attempt(2, "notebooks", 1);
    museum.write(&attempt, "first words\n");
    let top = serve(&museum).await;
    browser.look(1400, "light");
    browser.open(&format!("{top}/runs/2"));
    browser.value("window.isTheSame = true");
    let log = "document.querySelector('#live-log pre').textContent";
    browser.wait_for(&format!("{log} === 'first words\\n'"));
    museum.write(&attempt, &format!("{HOSTILE}\n"));
    browser.wait_for(&format!("{log}.includes('<script>document.title=')"));
    assert_eq!(browser.value("document.querySelectorAll('#live-log script, #live-log img').length"), 0);
    browser.picture("live-log-1400");
    assert_eq!(browser.value("document.querySelector('#head .badge').textContent"), "▶ running");

    museum.write(&attempt, "last words");
    let failed = TestResult::plain("good.ipynb", Outcome::Failed, "cell_error", "it broke");
    museum.end(&attempt, 1, vec![failed], vec![]).await;
    browser.wait_for(&format!("{log}.endsWith('last words\\n')"));
    browser.wait_for("document.querySelector('#live-log [data-state]').textContent === 'ended'");
    browser.wait_for("document.querySelector('#tiers').textContent.includes('it broke')");
    assert_eq!(browser.value("window.isTheSame"), true, "the page was not loaded again");
    assert!(browser.value("document.title").as_str().unwrap().ends_with("· docent"));
}
