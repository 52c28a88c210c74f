"""What ``ringback doctor`` looks at: one small function per check, each of which returns what it found."""
