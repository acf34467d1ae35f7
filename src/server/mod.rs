//! Listeners, connections, request dispatch and handlers.
