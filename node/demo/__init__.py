"""`gonghui demo`: a federation on one machine. It only types commands and speaks HTTP."""
