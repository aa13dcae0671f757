"""Files that survive a crash: logs of records, atomic replacement, locks, and the disk that tests make fail."""
