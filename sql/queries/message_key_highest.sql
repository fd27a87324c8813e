-- The highest message key that was ever stored.
SELECT max(ifnull((SELECT max(key) FROM message), 0),
           ifnull((SELECT max(key) FROM loose_body), 0),
           (SELECT value FROM high_water WHERE name = 'message-key'))
