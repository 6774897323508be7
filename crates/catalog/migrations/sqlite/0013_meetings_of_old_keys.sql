-- Keys that the script 0007 made of those before it had the scope `meetings` when nothing was opened by it. It opens acts in all
-- calls now: a key that no owner has changed since loses it.
UPDATE keys SET scopes = 'topics groups devices channels stamps'
WHERE kind = 'access' AND created_at_ms = 0 AND changed = 0 AND scopes = 'topics groups devices meetings channels stamps';
