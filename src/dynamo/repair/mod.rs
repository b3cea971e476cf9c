//! What a node does beside its clients' requests so that copies become and stay equal (Dynamo 4.6, 4.7, 4.8.3).
//!
//! Who can be reached, and when what is kept for others is handed over. Knows nothing of single requests.

pub mod detector;
pub mod hints;
pub mod settings;
