#!lua
-- Does nothing. But a script that may write, as this one might, is not begun where writes are refused.
return 1
