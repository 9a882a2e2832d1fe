//! A future that is looked at only when it has something to say.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use futures_util::task::AtomicWaker;

/// A future beside a busy one, in the same task: the end of a connection beside its requests. The task is woken for
/// each request, and polling timers and watches each time would cost more than a part of the request itself; this one
/// is polled only after it has asked for it.
pub(crate) struct Dormant<F> {
    inner: F,
    bell: Arc<Bell>,
    waker: Waker,
}

#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl<F: Future + Unpin> Dormant<F> {
    pub fn new(inner: F) -> Self {
        let bell = Arc::new(Bell {
            rung: AtomicBool::new(true),
            task: AtomicWaker::new(),
        });
        Self {
            inner,
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }
}

impl<F: Future + Unpin> Future for Dormant<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let me = self.get_mut();
        me.bell.task.register(cx.waker());
        // Registered first, so that a ring in between wakes the task once more.
        if !me.bell.rung.swap(false, Ordering::AcqRel) {
            return Poll::Pending;
        }
        Pin::new(&mut me.inner).poll(&mut Context::from_waker(&me.waker))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// Counts how often it is polled.
    struct Counted<F>(F, Arc<AtomicUsize>);

    impl<F: Future + Unpin> Future for Counted<F> {
        type Output = F::Output;

        fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
            self.1.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut self.0).poll(cx)
        }
    }

    #[tokio::test]
    async fn it_is_polled_when_it_is_woken_and_not_before() {
        let polls = Arc::new(AtomicUsize::new(0));
        let (send, receive) = tokio::sync::oneshot::channel::<u8>();
        let mut end = Dormant::new(Counted(receive, Arc::clone(&polls)));
        for _ in 0..10 {
            let polled = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut end).poll(cx))).await;
            assert!(polled.is_pending());
        }
        assert_eq!(polls.load(Ordering::Relaxed), 1);
        tokio::spawn(async move { send.send(7) });
        assert_eq!(end.await, Ok(7));
        assert_eq!(polls.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn it_wakes_its_task_each_time() {
        let (send, mut receive) = tokio::sync::mpsc::channel::<u8>(1);
        let third = Box::pin(async move {
            for _ in 0..2 {
                receive.recv().await;
            }
            receive.recv().await
        });
        let waiting = tokio::spawn(Dormant::new(third));
        for number in 1..=3 {
            tokio::task::yield_now().await;
            send.send(number).await.expect("it listens");
        }
        assert_eq!(waiting.await.expect("no panic"), Some(3));
    }

    #[tokio::test]
    async fn it_wakes_the_task_that_it_moved_to() {
        let (send, receive) = tokio::sync::oneshot::channel::<u8>();
        let mut end = Dormant::new(receive);
        let polled = std::future::poll_fn(|cx| Poll::Ready(Pin::new(&mut end).poll(cx))).await;
        assert!(polled.is_pending());
        let moved = tokio::spawn(end);
        tokio::task::yield_now().await;
        assert_eq!(send.send(8), Ok(()));
        assert_eq!(moved.await.expect("no panic"), Ok(8));
    }
}
