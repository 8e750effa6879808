"""Starting, checking and operating a venue; nothing here is imported by a process."""
