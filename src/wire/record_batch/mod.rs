//! Record batches, magic 2: written by appending, read as a lazy view.
