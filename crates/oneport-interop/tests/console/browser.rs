//! A browser, in the words of these tests. Nothing here sleeps and then looks: each waits for what must come.

use std::time::Duration;

use oneport_testkit::peers::chromium::{Chromium, axe_script};
use serde_json::Value;
use thirtyfour::prelude::*;

use crate::scene::PATIENCE;

/// How often a page is looked at.
const GLANCE: Duration = Duration::from_millis(50);

/// A browser that shows one page.
pub(crate) struct Browser {
    pub(crate) driver: WebDriver,
    /// Dropped behind the browser.
    _chromium: Chromium,
}

impl Browser {
    pub(crate) async fn start() -> Self {
        let chromium = Chromium::start();
        let mut capabilities = DesiredCapabilities::chrome();
        for argument in Chromium::arguments() {
            capabilities.add_arg(argument).expect("an argument");
        }
        capabilities.add_arg("--window-size=1280,900").expect("an argument");
        let driver = WebDriver::new(chromium.url(), capabilities).await.expect("a browser");
        Self { driver, _chromium: chromium }
    }

    pub(crate) async fn go(&self, url: &str) {
        self.driver.goto(url).await.expect("shown");
    }

    /// Waits until `what` says so.
    pub(crate) async fn wait<T>(&self, what: &str, mut is: impl AsyncFnMut() -> Option<T>) -> T {
        let waited = async {
            loop {
                if let Some(found) = is().await {
                    return found;
                }
                tokio::time::sleep(GLANCE).await;
            }
        };
        match tokio::time::timeout(PATIENCE, waited).await {
            Ok(found) => found,
            Err(_) => {
                panic!("waited in vain for {what}; the page says: {}", self.text("body").await)
            }
        }
    }

    /// The text of the first element, as it is shown; empty where there is none.
    pub(crate) async fn text(&self, css: &str) -> String {
        self.evaluate(&format!("return document.querySelector({css:?})?.innerText ?? ''"))
            .await
            .as_str()
            .unwrap_or_default()
            .into()
    }

    /// Waits until one of these elements has this text in it.
    pub(crate) async fn sees(&self, css: &str, text: &str) {
        let script = format!(
            "return [...document.querySelectorAll({css:?})].some(one => one.innerText.includes({text:?}))"
        );
        self.wait(&format!("{text:?} in {css}"), async || {
            (self.evaluate(&script).await == true).then_some(())
        })
        .await;
    }

    /// Waits until there are so many elements.
    pub(crate) async fn counts(&self, css: &str, count: usize) {
        let script = format!("return document.querySelectorAll({css:?}).length");
        self.wait(&format!("{count} of {css}"), async || {
            (self.evaluate(&script).await == count).then_some(())
        })
        .await;
    }

    pub(crate) async fn evaluate(&self, script: &str) -> Value {
        let done = self.driver.execute(script, Vec::new()).await.expect("it runs");
        done.json().clone()
    }

    /// What the page gets from the URL that this expression gives.
    pub(crate) async fn fetched(&self, url: &str) -> String {
        let script = format!(
            "const done = arguments[arguments.length - 1];
             fetch({url}).then(answer => answer.text()).then(done, error => done(String(error)));"
        );
        let answer = self.driver.execute_async(script, Vec::new()).await.expect("it runs");
        answer.json().as_str().expect("a text").into()
    }

    /// The field of this name, once it is there.
    pub(crate) async fn field(&self, name: &str) -> WebElement {
        self.element(&format!("[name={name:?}]")).await
    }

    pub(crate) async fn element(&self, css: &str) -> WebElement {
        self.wait(css, async || self.driver.find(By::Css(css)).await.ok()).await
    }

    pub(crate) async fn fill(&self, name: &str, text: &str) {
        let field = self.field(name).await;
        field.clear().await.expect("empty");
        field.send_keys(text).await.expect("written");
    }

    /// Presses the first button that says this.
    pub(crate) async fn press_button(&self, text: &str) {
        let path = format!("//button[normalize-space()={text:?}]");
        let button =
            self.wait(text, async || self.driver.find(By::XPath(path.as_str())).await.ok()).await;
        button.click().await.expect("pressed");
    }

    /// Follows the first link that says this.
    pub(crate) async fn press_link(&self, text: &str) {
        let path = format!("//a[normalize-space()={text:?}]");
        let link =
            self.wait(text, async || self.driver.find(By::XPath(path.as_str())).await.ok()).await;
        link.click().await.expect("pressed");
    }

    /// Presses keys, wherever the focus is.
    pub(crate) async fn keys(&self, keys: &str) {
        self.driver.action_chain().send_keys(keys).perform().await.expect("pressed");
    }

    /// What axe-core finds serious or critical of the page as it is.
    pub(crate) async fn serious_findings(&self) -> Vec<String> {
        let axe = axe_script().unwrap_or_else(|missing| panic!("{missing}"));
        self.driver.execute(axe, Vec::new()).await.expect("axe is loaded");
        let script = "const done = arguments[arguments.length - 1];
            axe.run(document, { resultTypes: ['violations'] }).then(found => done(found.violations
                .filter(one => one.impact === 'serious' || one.impact === 'critical')
                .map(one => `${one.id}: ${one.help}: ${one.nodes.map(node => node.html).join(' ')}`)),
                error => done([String(error)]));";
        let found = self.driver.execute_async(script, Vec::new()).await.expect("it runs");
        serde_json::from_value(found.json().clone()).expect("a list of texts")
    }

    /// Ends it.
    pub(crate) async fn quit(self) {
        self.driver.quit().await.expect("it ends");
    }
}
