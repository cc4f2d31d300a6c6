//! What limit lists refuse, and where.
