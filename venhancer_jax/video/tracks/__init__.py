"""Streams besides the pictures: sound, subtitles, chapters, attachments, tags."""
